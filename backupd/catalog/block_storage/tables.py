"""The tables of block storage. A change here needs a revision in ``migrations/versions``."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, String, Table

from backupd.catalog.tables import UtcTime, backups, metadata, volumes

# One row for each volume, whichever API has made it.
block_volumes = Table(
    "block_volumes",
    metadata,
    Column("volume_id", ForeignKey(volumes.c.id), primary_key=True),
    Column("user_id", String(255)),
    Column("name", String(255)),
    Column("description", String(255)),
    Column("size_bytes", BigInteger),
    Column("status", String(32), nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("is_made", Boolean, nullable=False),
    Column("is_bootable", Boolean, nullable=False),
    Column("snapshot_id", String(36)),
    Column("source_volume_id", String(36)),
    Column("backup_id", String(36)),
    # The clone or restore that writes to it, or did last: its state is the volume's until it has succeeded.
    Column("job_id", String(36)),
    Column("updated_at", UtcTime),
    Index(None, "name"),
)

block_attachments = Table(
    "block_attachments",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("volume_id", ForeignKey(volumes.c.id), nullable=False),
    Column("project", String(64), nullable=False),
    Column("instance_id", String(255)),
    Column("host", String(255)),
    Column("mountpoint", String(255)),
    Column("mode", String(8), nullable=False),
    Column("attached_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Index(None, "volume_id"),
    Index(None, "project"),
)

block_snapshots = Table(
    "block_snapshots",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project", String(64), nullable=False),
    Column("volume_id", ForeignKey(volumes.c.id), nullable=False),
    Column("user_id", String(255)),
    Column("name", String(255)),
    Column("description", String(255)),
    Column("size_bytes", BigInteger, nullable=False),
    Column("path", String, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("status", String(32), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime),
    Column("job_id", String(36)),
    Index(None, "project", "created_at"),
    Index(None, "volume_id"),
)

# One row for each backup, whichever API has made it.
block_backups = Table(
    "block_backups",
    metadata,
    Column("backup_id", ForeignKey(backups.c.id), primary_key=True),
    Column("user_id", String(255)),
    Column("name", String(255)),
    Column("description", String(255)),
    Column("container", String(255)),
    Column("availability_zone", String(255)),
    Column("metadata", JSON, nullable=False),
    Column("snapshot_id", String(36)),
    Column("data_timestamp", UtcTime),
    Column("size_bytes", BigInteger),
    Column("volume_name", String(255)),
    Column("volume_description", String(255)),
    Column("volume_metadata", JSON, nullable=False),
    # Set when a backup is to go that is still being made: it goes as soon as its job has ended.
    Column("is_unwanted", Boolean, nullable=False),
    Column("updated_at", UtcTime),
    Index(None, "snapshot_id"),
    Index(None, "name"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project", String(64), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Column("resource_id", String(36), nullable=False),
    Column("event_id", String(64), nullable=False),
    Column("text", String, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Index(None, "project", "created_at"),
)

# What an operator has set; without a row the configuration's default holds.
quotas = Table(
    "quotas",
    metadata,
    Column("project", String(64), primary_key=True),
    Column("resource", String(32), primary_key=True),
    Column("hard_limit", BigInteger, nullable=False),
)

quota_usages = Table(
    "quota_usages",
    metadata,
    Column("project", String(64), primary_key=True),
    Column("resource", String(32), primary_key=True),
    Column("in_use", BigInteger, nullable=False),
)
