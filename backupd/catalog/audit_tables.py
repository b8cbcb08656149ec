"""The tables of audits: what was looked at of each volume, and whose tracking is not trusted."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table

from backupd.catalog.tables import UtcTime, metadata

# One row for each volume that was audited or quarantined.
tracking = Table(
    "tracking",
    metadata,
    Column("volume_id", String(36), primary_key=True),
    Column("next_offset_bytes", BigInteger, nullable=False),
    Column("audited_at", UtcTime),
    Column("quarantine_reason", String),
    Column("quarantined_at", UtcTime),
    Column("quarantined_by", String(36)),
)

# What a backup looked at and found as it was claimed to be; rows that a later one covers are gone.
audited_ranges = Table(
    "audited_ranges",
    metadata,
    Column("backup_id", String(36), primary_key=True),
    Column("offset_bytes", BigInteger, primary_key=True),
    Column("end_bytes", BigInteger, nullable=False),
    Column("volume_id", String(36), nullable=False),
    Index(None, "volume_id"),
)
