"""When backups were verified and objects scrubbed, what is damaged, and results of jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "verifications",
        sa.Column("backup_id", sa.String(length=36), nullable=False),
        sa.Column("verified_at", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.String(length=128), nullable=True),
        sa.Column("failure_code", sa.String(length=64), nullable=True),
        sa.Column("failure_message", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["backup_id"], ["backups.id"], name="fk_verifications_backup_id"),
        sa.PrimaryKeyConstraint("backup_id", name="pk_verifications"),
    )
    op.create_table(
        "scrubs",
        sa.Column("target", sa.String(length=128), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("scrubbed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("target", "key", name="pk_scrubs"),
    )
    op.create_index("ix_scrubs_target_scrubbed_at", "scrubs", ["target", "scrubbed_at"], unique=False)
    op.create_table(
        "damages",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("target", sa.String(length=128), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("is_encrypted", sa.Boolean(), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=True),
        sa.Column("length", sa.BigInteger(), nullable=True),
        sa.Column("frame_id", sa.String(length=64), nullable=True),
        sa.Column("is_lost", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_damages"),
    )
    op.create_index("ix_damages_target_key", "damages", ["target", "key"], unique=False)
    op.create_table(
        "damaged_backups",
        sa.Column("damage_id", sa.String(length=36), nullable=False),
        sa.Column("backup_id", sa.String(length=36), nullable=False),
        sa.Column("ranges", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["backup_id"], ["backups.id"], name="fk_damaged_backups_backup_id"),
        sa.ForeignKeyConstraint(["damage_id"], ["damages.id"], name="fk_damaged_backups_damage_id"),
        sa.PrimaryKeyConstraint("damage_id", "backup_id", name="pk_damaged_backups"),
    )
    op.create_index("ix_damaged_backups_backup_id", "damaged_backups", ["backup_id"], unique=False)
    op.create_table(
        "job_results",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_results_job_id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_results"),
    )


def downgrade() -> None:
    for table in ("job_results", "damaged_backups", "damages", "scrubs", "verifications"):
        op.drop_table(table)
