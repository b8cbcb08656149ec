"""The tables of deletion and collection: epochs, what is condemned, reports, holds."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table

from backupd.catalog.tables import UtcTime, backups, jobs, metadata

# One row: who this catalog is to others, and how many condemnations there were.
catalog_state = Table(
    "catalog_state",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("catalog_id", String(32), nullable=False),
    Column("epoch", BigInteger, nullable=False),
)

# The epoch in which a job was claimed first. It keeps it, because what an earlier attempt found may be in use still.
job_epochs = Table(
    "job_epochs",
    metadata,
    Column("job_id", ForeignKey(jobs.c.id), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
)

# The epoch of the condemnation that is under way in a repository on a target.
collection_epochs = Table(
    "collection_epochs",
    metadata,
    Column("project", String(64), primary_key=True),
    Column("target", String(128), primary_key=True),
    Column("is_encrypted", Boolean, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
)

condemned = Table(
    "condemned",
    metadata,
    Column("project", String(64), primary_key=True),
    Column("target", String(128), primary_key=True),
    Column("is_encrypted", Boolean, primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("pack_id", String(32), primary_key=True),
    Column("reason", String(16), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # Set before the object is touched; from there on it cannot be reprieved.
    Column("is_going", Boolean, nullable=False),
    Index(None, "pack_id"),
)

collections = Table(
    "collections",
    metadata,
    Column("job_id", ForeignKey(jobs.c.id), primary_key=True),
    Column("report", JSON, nullable=False),
)

backup_holds = Table(
    "backup_holds",
    metadata,
    Column("backup_id", ForeignKey(backups.c.id), primary_key=True),
    Column("reason", String, nullable=False),
    Column("held_at", UtcTime, nullable=False),
)
