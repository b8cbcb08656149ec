"""Epochs, condemned packs, reports of collections and holds on backups."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "catalog_state",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("catalog_id", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_catalog_state"),
    )
    op.create_table("job_epochs", *_of("jobs", "job_epochs"), sa.Column("epoch", sa.BigInteger(), nullable=False))
    op.create_table(
        "collection_epochs",
        *_repository(),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "target", "is_encrypted", name="pk_collection_epochs"),
    )
    op.create_table(
        "condemned",
        *_repository(),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("pack_id", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("is_going", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("project", "target", "is_encrypted", "kind", "pack_id", name="pk_condemned"),
    )
    op.create_index("ix_condemned_pack_id", "condemned", ["pack_id"], unique=False)
    op.create_table("collections", *_of("jobs", "collections"), sa.Column("report", sa.JSON(), nullable=False))
    op.create_table(
        "backup_holds",
        *_of("backups", "backup_holds"),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("held_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_job_packs_pack_id", "job_packs", ["pack_id"], unique=False)


def _repository() -> list[sa.Column[Any]]:
    return [
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=128), nullable=False),
        sa.Column("is_encrypted", sa.Boolean(), nullable=False),
    ]


def _of(parent: str, table: str) -> list[Any]:
    """Return a key that refers to the one of ``parent``."""
    column = f"{parent.removesuffix('s')}_id"
    return [
        sa.Column(column, sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=f"fk_{table}_{column}"),
        sa.PrimaryKeyConstraint(column, name=f"pk_{table}"),
    ]


def downgrade() -> None:
    op.drop_index("ix_job_packs_pack_id", "job_packs")
    for table in ("backup_holds", "collections", "condemned", "collection_epochs", "job_epochs", "catalog_state"):
        op.drop_table(table)
