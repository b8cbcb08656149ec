"""Which backups were made by one job, of one instant."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Table

from backupd.catalog.tables import backups, jobs, metadata

# All backups of a job that makes several, the one that the job names included.
grouped_backups = Table(
    "grouped_backups",
    metadata,
    Column("backup_id", ForeignKey(backups.c.id), primary_key=True),
    Column("job_id", ForeignKey(jobs.c.id), nullable=False),
    Index(None, "job_id"),
)
