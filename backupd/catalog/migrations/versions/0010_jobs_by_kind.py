"""Jobs of a kind are found without looking at all of them."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_index("ix_jobs_kind_project", "jobs", ["kind", "project"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_jobs_kind_project", table_name="jobs")
