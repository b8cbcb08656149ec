"""Backups are found by their name, as clients look for them."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("ix_block_backups_name", "block_backups", ["name"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_block_backups_name", "block_backups")
