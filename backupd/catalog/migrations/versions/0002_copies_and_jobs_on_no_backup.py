"""Backups on several targets, probes of targets, jobs that are on no backup, volumes without a type."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for table in ("backup_types", "backups"):
        for column in _policy():
            op.add_column(table, column)
    op.add_column("backup_types", sa.Column("retention", sa.String(length=128), nullable=True))
    op.add_column("backup_types", sa.Column("is_configured", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "backup_copies",
        sa.Column("backup_id", sa.String(length=36), nullable=False),
        sa.Column("target", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["backup_id"], ["backups.id"], name="fk_backup_copies_backup_id"),
        sa.PrimaryKeyConstraint("backup_id", "target", name="pk_backup_copies"),
    )
    op.create_index("ix_backup_copies_state", "backup_copies", ["state"], unique=False)
    op.execute(
        "INSERT INTO backup_copies (backup_id, target, state) "
        "SELECT id, target, 'complete' FROM backups WHERE size_bytes IS NOT NULL AND state != 'deleted'"
    )
    op.create_table(
        "probes",
        sa.Column("target", sa.String(length=128), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("probed_at", sa.BigInteger(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("target", name="pk_probes"),
    )
    with op.batch_alter_table("volumes") as volumes:
        volumes.alter_column("backup_type_id", existing_type=sa.String(length=36), nullable=True)
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_jobs()
    else:
        op.alter_column("jobs", "backup_id", existing_type=sa.String(length=36), nullable=True)


def _policy() -> list[sa.Column[Any]]:
    return [
        sa.Column("copies", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("quorum", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("bytes_per_s", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("verify_bytes", sa.BigInteger(), nullable=False, server_default="0"),
    ]


def _rebuild_jobs() -> None:
    """Make ``jobs.backup_id`` optional; SQLite must rebuild a table for it, and those that refer to it first.

    Dropping a table that others refer to would fail, since foreign keys are on. Renaming one takes the
    references to it along (https://www.sqlite.org/lang_altertable.html).
    """
    bind = op.get_bind()
    texts = {
        name: bind.execute(sa.text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": name}).scalar_one()
        for name in ("jobs", "attempts", "job_packs")
    }
    indexes = bind.execute(
        sa.text("SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'jobs' AND sql IS NOT NULL")
    ).scalars()
    recreate = list(indexes)
    texts["jobs"] = texts["jobs"].replace("backup_id VARCHAR(36) NOT NULL", "backup_id VARCHAR(36)")
    for name, text in texts.items():
        renamed = text.replace(f"CREATE TABLE {name}", f"CREATE TABLE {name}_new", 1)
        op.execute(renamed.replace("REFERENCES jobs ", "REFERENCES jobs_new "))
        op.execute(f"INSERT INTO {name}_new SELECT * FROM {name}")  # noqa: S608 - names of our own
    for name in ("attempts", "job_packs", "jobs"):
        op.execute(f"DROP TABLE {name}")
    for name in texts:
        op.execute(f"ALTER TABLE {name}_new RENAME TO {name}")
    for text in recreate:
        op.execute(text)


def downgrade() -> None:
    op.drop_table("probes")
    op.drop_table("backup_copies")
    for table in ("backup_types", "backups"):
        for column in _policy():
            op.drop_column(table, column.name)
    op.drop_column("backup_types", "retention")
    op.drop_column("backup_types", "is_configured")
