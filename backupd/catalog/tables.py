"""The tables, in SQLAlchemy Core. A change here needs a revision in ``migrations/versions``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    text,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_IS_LIVE = text("state != 'deleted'")


class UtcTime(TypeDecorator[datetime]):
    """An instant as microseconds since 1970 in UTC: SQLite has no time zones, and this sorts everywhere."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

backup_types = Table(
    "backup_types",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("target", String(128), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("chunk_size_bytes", Integer, nullable=False),
    Column("compression_level", Integer, nullable=False),
    Column("is_encrypted", Boolean, nullable=False),
    Column("is_deduplicated", Boolean, nullable=False),
    Column("copies", JSON, nullable=False),
    Column("quorum", Integer, nullable=False),
    Column("bytes_per_s", BigInteger, nullable=False),
    Column("verify_bytes", BigInteger, nullable=False),
    Column("retention", String(128)),
    Column("is_configured", Boolean, nullable=False),
)

volumes = Table(
    "volumes",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project", String(64), nullable=False),
    Column("name", String(128), nullable=False),
    Column("source", String, nullable=False),
    Column("backup_type_id", ForeignKey(backup_types.c.id)),
    Column("created_at", UtcTime, nullable=False),
    Column("allow_live", Boolean, nullable=False),
    Column("direct_io", Boolean, nullable=False),
    UniqueConstraint("project", "name"),
)

backups = Table(
    "backups",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project", String(64), nullable=False),
    # No foreign key: a volume may be forgotten, and its deleted backups stay as history.
    Column("volume_id", String(36), nullable=False),
    Column("name", String(128), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("target", String(128), nullable=False),
    Column("chunk_size_bytes", Integer, nullable=False),
    Column("compression_level", Integer, nullable=False),
    Column("is_encrypted", Boolean, nullable=False),
    Column("is_deduplicated", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("parent_id", String(36)),
    Column("size_bytes", BigInteger),
    Column("finished_at", UtcTime),
    Column("full_read_reason", String),
    Column("statistics", JSON(none_as_null=True)),
    Column("failure_code", String(64)),
    Column("failure_message", String),
    Column("copies", JSON, nullable=False),
    Column("quorum", Integer, nullable=False),
    Column("bytes_per_s", BigInteger, nullable=False),
    Column("verify_bytes", BigInteger, nullable=False),
    Column("suspect_reason", String),
    Index(None, "volume_id", "state"),
    Index(None, "parent_id"),
    # A project's backups as they are listed, without the many that were deleted.
    Index("ix_backups_listed", "project", "created_at", "id", sqlite_where=_IS_LIVE, postgresql_where=_IS_LIVE),
)

# One row for each target that has a published backup, or is to get it.
backup_copies = Table(
    "backup_copies",
    metadata,
    Column("backup_id", ForeignKey(backups.c.id), primary_key=True),
    Column("target", String(128), primary_key=True),
    Column("state", String(16), nullable=False),
    Index(None, "state"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("backup_id", ForeignKey(backups.c.id)),
    Column("state", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("request", JSON, nullable=False),
    # Set before its manifest is written and never cleared: from there on it can only succeed or fail.
    Column("is_publishing", Boolean, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_owner", String(256)),
    Column("lease_expires_at", UtcTime),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("done_bytes", BigInteger, nullable=False),
    Column("total_bytes", BigInteger, nullable=False),
    Column("rate_bytes_per_s", Float),
    Column("eta_s", Float),
    Column("failure_code", String(64)),
    Column("failure_message", String),
    Index(None, "state", "created_at"),
    Index(None, "project", "created_at"),
    Index(None, "kind", "project"),
    Index(None, "backup_id"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", ForeignKey(jobs.c.id), primary_key=True),
    Column("fence", Integer, primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("state", String(16), nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("finished_at", UtcTime),
    Column("failure_code", String(64)),
    Column("failure_message", String),
)

job_packs = Table(
    "job_packs",
    metadata,
    Column("job_id", ForeignKey(jobs.c.id), primary_key=True),
    Column("pack_id", String(32), primary_key=True),
    Index(None, "pack_id"),
)

probes = Table(
    "probes",
    metadata,
    Column("target", String(128), primary_key=True),
    Column("url", String, nullable=False),
    Column("probed_at", UtcTime, nullable=False),
    Column("report", JSON, nullable=False),
)
