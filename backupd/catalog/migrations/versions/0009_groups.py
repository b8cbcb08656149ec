"""Several backups of one instant by one job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "grouped_backups",
        sa.Column("backup_id", sa.String(length=36), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["backup_id"], ["backups.id"], name="fk_grouped_backups_backup_id_backups"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_grouped_backups_job_id_jobs"),
        sa.PrimaryKeyConstraint("backup_id", name="pk_grouped_backups"),
    )
    op.create_index("ix_grouped_backups_job_id", "grouped_backups", ["job_id"], unique=False)


def downgrade() -> None:
    op.drop_table("grouped_backups")
