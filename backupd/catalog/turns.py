"""Whose turn it is: a deletion waits for the jobs that need its backup, or a backup that is made on top of it."""

from __future__ import annotations

from sqlalchemy import ColumnElement, or_, select

from backupd.catalog.group_tables import grouped_backups
from backupd.catalog.tables import backups, jobs
from backupd.model import UNFINISHED, JobKind, JobState


def is_its_turn() -> ColumnElement[bool]:
    """Return the condition that a row of ``jobs`` may be claimed.

    A deletion that has begun goes on. Nothing new can come to need its backup, so it waits for a time only.
    """
    other, of_other = jobs.alias("other"), backups.alias("of_other")
    named = other.join(of_other, other.c.backup_id == of_other.c.id)
    grouped = other.join(grouped_backups, grouped_backups.c.job_id == other.c.id).join(
        of_other, grouped_backups.c.backup_id == of_other.c.id
    )
    needed = [
        select(other.c.id)
        .select_from(joined)
        .where(
            other.c.state.in_(UNFINISHED),
            other.c.kind != JobKind.DELETE,
            or_(of_other.c.id == jobs.c.backup_id, of_other.c.parent_id == jobs.c.backup_id),
        )
        .correlate(jobs)
        .exists()
        for joined in (named, grouped)
    ]
    return or_(jobs.c.kind != JobKind.DELETE, jobs.c.state != JobState.QUEUED, ~or_(*needed))
