"""Block storage: what volumes and backups have for people, snapshots, attachments, messages, quotas."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_IS_LIVE = sa.text("state != 'deleted'")


def upgrade() -> None:
    _create_of_volumes()
    _create_snapshots()
    _create_of_backups()
    _create_of_projects()
    op.create_index(
        "ix_backups_listed",
        "backups",
        ["project", "created_at", "id"],
        unique=False,
        sqlite_where=_IS_LIVE,
        postgresql_where=_IS_LIVE,
    )
    op.execute(
        "INSERT INTO block_volumes (volume_id, name, size_bytes, status, metadata, is_made, is_bootable) "
        "SELECT id, name, (SELECT size_bytes FROM backups WHERE backups.volume_id = volumes.id "
        "AND size_bytes IS NOT NULL ORDER BY created_at DESC LIMIT 1), 'available', '{}', false, false FROM volumes"
    )
    op.execute(
        "INSERT INTO block_backups "
        "(backup_id, name, metadata, data_timestamp, size_bytes, volume_metadata, is_unwanted) "
        "SELECT id, name, '{}', created_at, size_bytes, '{}', false FROM backups"
    )
    op.execute(
        "INSERT INTO quota_usages (project, resource, in_use) "
        "SELECT project, 'backups', COUNT(*) FROM backups WHERE state != 'deleted' GROUP BY project"
    )
    op.execute(
        "INSERT INTO quota_usages (project, resource, in_use) "
        "SELECT project, 'backup_gigabytes', SUM((COALESCE(size_bytes, 0) + 1073741823) / 1073741824) "
        "FROM backups WHERE state != 'deleted' GROUP BY project"
    )


def _create_of_volumes() -> None:
    op.create_table(
        "block_volumes",
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("is_made", sa.Boolean(), nullable=False),
        sa.Column("is_bootable", sa.Boolean(), nullable=False),
        sa.Column("snapshot_id", sa.String(length=36), nullable=True),
        sa.Column("source_volume_id", sa.String(length=36), nullable=True),
        sa.Column("backup_id", sa.String(length=36), nullable=True),
        sa.Column("job_id", sa.String(length=36), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["volume_id"], ["volumes.id"], name="fk_block_volumes_volume_id"),
        sa.PrimaryKeyConstraint("volume_id", name="pk_block_volumes"),
    )
    op.create_index("ix_block_volumes_name", "block_volumes", ["name"], unique=False)
    op.create_table(
        "block_attachments",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("instance_id", sa.String(length=255), nullable=True),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("mountpoint", sa.String(length=255), nullable=True),
        sa.Column("mode", sa.String(length=8), nullable=False),
        sa.Column("attached_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["volume_id"], ["volumes.id"], name="fk_block_attachments_volume_id"),
        sa.PrimaryKeyConstraint("id", name="pk_block_attachments"),
    )
    op.create_index("ix_block_attachments_volume_id", "block_attachments", ["volume_id"], unique=False)
    op.create_index("ix_block_attachments_project", "block_attachments", ["project"], unique=False)


def _create_snapshots() -> None:
    op.create_table(
        "block_snapshots",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.Column("job_id", sa.String(length=36), nullable=True),
        sa.ForeignKeyConstraint(["volume_id"], ["volumes.id"], name="fk_block_snapshots_volume_id"),
        sa.PrimaryKeyConstraint("id", name="pk_block_snapshots"),
    )
    op.create_index("ix_block_snapshots_project_created_at", "block_snapshots", ["project", "created_at"], unique=False)
    op.create_index("ix_block_snapshots_volume_id", "block_snapshots", ["volume_id"], unique=False)


def _create_of_backups() -> None:
    op.create_table(
        "block_backups",
        sa.Column("backup_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("container", sa.String(length=255), nullable=True),
        sa.Column("availability_zone", sa.String(length=255), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("snapshot_id", sa.String(length=36), nullable=True),
        sa.Column("data_timestamp", sa.BigInteger(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("volume_name", sa.String(length=255), nullable=True),
        sa.Column("volume_description", sa.String(length=255), nullable=True),
        sa.Column("volume_metadata", sa.JSON(), nullable=False),
        sa.Column("is_unwanted", sa.Boolean(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["backup_id"], ["backups.id"], name="fk_block_backups_backup_id"),
        sa.PrimaryKeyConstraint("backup_id", name="pk_block_backups"),
    )
    op.create_index("ix_block_backups_snapshot_id", "block_backups", ["snapshot_id"], unique=False)


def _create_of_projects() -> None:
    op.create_table(
        "messages",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=32), nullable=False),
        sa.Column("resource_id", sa.String(length=36), nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
    )
    op.create_index("ix_messages_project_created_at", "messages", ["project", "created_at"], unique=False)
    for table, value in (("quotas", "hard_limit"), ("quota_usages", "in_use")):
        op.create_table(
            table,
            sa.Column("project", sa.String(length=64), nullable=False),
            sa.Column("resource", sa.String(length=32), nullable=False),
            sa.Column(value, sa.BigInteger(), nullable=False),
            sa.PrimaryKeyConstraint("project", "resource", name=f"pk_{table}"),
        )


def downgrade() -> None:
    op.drop_index("ix_backups_listed", "backups")
    for table in (
        "quota_usages",
        "quotas",
        "messages",
        "block_backups",
        "block_snapshots",
        "block_attachments",
        "block_volumes",
    ):
        op.drop_table(table)
