"""Groups: several backups that one job makes, of one instant. Each function is part of one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, FromClause, insert, or_, select

from backupd.catalog import rows
from backupd.catalog.group_tables import grouped_backups
from backupd.catalog.tables import backups
from backupd.model import Backup, Job


def are_of(job: FromClause, backup: FromClause) -> ColumnElement[bool]:
    """Return the condition that ``backup`` is one of those that ``job`` is on."""
    of_job = select(grouped_backups.c.backup_id).where(grouped_backups.c.job_id == job.c.id)
    return or_(job.c.backup_id == backup.c.id, backup.c.id.in_(of_job))


def add(connection: Connection, job: Job, values: Sequence[Backup]) -> None:
    """Let a job be on all of these backups."""
    connection.execute(insert(grouped_backups), [{"backup_id": one.id, "job_id": job.id} for one in values])


def backups_of(connection: Connection, job: Job) -> list[Backup]:
    """Return all backups that a job is on, the one that it names last: when that is there, all are."""
    of_job = select(grouped_backups.c.backup_id).where(grouped_backups.c.job_id == job.id)
    mine = or_(backups.c.id == job.backup_id, backups.c.id.in_(of_job))
    found = [rows.backup(row) for row in connection.execute(select(backups).where(mine).order_by(backups.c.id))]
    return sorted(found, key=lambda one: one.id == job.backup_id)


def taken_with(connection: Connection, backup_id: str) -> list[str]:
    """Return the other backups of the same instant."""
    job_id = select(grouped_backups.c.job_id).where(grouped_backups.c.backup_id == backup_id).scalar_subquery()
    query = select(grouped_backups.c.backup_id).where(
        grouped_backups.c.job_id == job_id, grouped_backups.c.backup_id != backup_id
    )
    return list(connection.execute(query.order_by(grouped_backups.c.backup_id)).scalars())
