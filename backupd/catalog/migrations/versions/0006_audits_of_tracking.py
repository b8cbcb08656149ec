"""Audits of changed-block tracking, and backups that are suspect after one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("backups", sa.Column("suspect_reason", sa.String(), nullable=True))
    op.create_table(
        "tracking",
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("next_offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column("audited_at", sa.BigInteger(), nullable=True),
        sa.Column("quarantine_reason", sa.String(), nullable=True),
        sa.Column("quarantined_at", sa.BigInteger(), nullable=True),
        sa.Column("quarantined_by", sa.String(length=36), nullable=True),
        sa.PrimaryKeyConstraint("volume_id", name="pk_tracking"),
    )
    op.create_table(
        "audited_ranges",
        sa.Column("backup_id", sa.String(length=36), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column("end_bytes", sa.BigInteger(), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("backup_id", "offset_bytes", name="pk_audited_ranges"),
    )
    op.create_index("ix_audited_ranges_volume_id", "audited_ranges", ["volume_id"], unique=False)


def downgrade() -> None:
    op.drop_table("audited_ranges")
    op.drop_table("tracking")
    op.drop_column("backups", "suspect_reason")
