"""The tables about the condition of what is stored, and the results of jobs."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, String, Table

from backupd.catalog.tables import UtcTime, backups, jobs, metadata

# The last full verification of each backup.
verifications = Table(
    "verifications",
    metadata,
    Column("backup_id", ForeignKey(backups.c.id), primary_key=True),
    Column("verified_at", UtcTime, nullable=False),
    Column("target", String(128)),
    Column("failure_code", String(64)),
    Column("failure_message", String),
)

# When each object of a target was scrubbed last; NULL: never, or something was wrong since.
scrubs = Table(
    "scrubs",
    metadata,
    Column("target", String(128), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("scrubbed_at", UtcTime),
    Index(None, "target", "scrubbed_at"),
)

damages = Table(
    "damages",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("target", String(128), nullable=False),
    Column("project", String(64), nullable=False),
    Column("is_encrypted", Boolean, nullable=False),
    Column("key", String(255), nullable=False),
    Column("message", String, nullable=False),
    Column("found_at", UtcTime, nullable=False),
    Column("offset", BigInteger),
    Column("length", BigInteger),
    Column("frame_id", String(64)),
    Column("is_lost", Boolean, nullable=False),
    Index(None, "target", "key"),
)

damaged_backups = Table(
    "damaged_backups",
    metadata,
    Column("damage_id", ForeignKey(damages.c.id), primary_key=True),
    Column("backup_id", ForeignKey(backups.c.id), primary_key=True),
    Column("ranges", JSON, nullable=False),
    Index(None, "backup_id"),
)

job_results = Table(
    "job_results",
    metadata,
    Column("job_id", ForeignKey(jobs.c.id), primary_key=True),
    Column("result", JSON, nullable=False),
)
