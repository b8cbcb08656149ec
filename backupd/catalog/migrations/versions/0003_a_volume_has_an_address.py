"""A volume has an address, of which the path of a file is one kind."""

from __future__ import annotations

from urllib.parse import quote, unquote

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_SAFE = "/@:,+"


def upgrade() -> None:
    op.execute("ALTER TABLE volumes RENAME COLUMN path TO source")
    bind = op.get_bind()
    for row in bind.execute(sa.text("SELECT id, source FROM volumes")).all():
        _set(row.id, f"file://{quote(row.source, safe=_SAFE)}")


def downgrade() -> None:
    """Make paths of the addresses of files; a volume of any other kind has none and cannot be read any more."""
    for row in op.get_bind().execute(sa.text("SELECT id, source FROM volumes")).all():
        _set(row.id, unquote(row.source.removeprefix("file://")))
    op.execute("ALTER TABLE volumes RENAME COLUMN source TO path")


def _set(volume_id: str, source: str) -> None:
    changed = sa.text("UPDATE volumes SET source = :source WHERE id = :id")
    op.get_bind().execute(changed, {"source": source, "id": volume_id})
