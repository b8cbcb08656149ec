"""Holds, and deletions that failed. Each function is part of one transaction."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select

from backupd.catalog.collection_tables import backup_holds
from backupd.catalog.tables import backups, jobs
from backupd.errors import Conflict, no_such
from backupd.model import BackupState, Hold, JobKind, JobState

_DELETABLE = (BackupState.AVAILABLE, BackupState.ERROR)
_ALL = select(backup_holds)
_SOME = _ALL.where(backup_holds.c.backup_id.in_(bindparam("wanted", expanding=True)))
_DELETIONS = (
    select(jobs.c.project, jobs.c.backup_id, jobs.c.state, jobs.c.failure_code, jobs.c.finished_at)
    .join(backups, backups.c.id == jobs.c.backup_id)
    .where(jobs.c.kind == JobKind.DELETE, backups.c.state.in_(_DELETABLE))
    .order_by(jobs.c.backup_id, jobs.c.created_at)
)


class FailedDeletion(NamedTuple):
    """A backup that somebody wanted to be deleted; ``failures`` in a row, the last one ``ended_at``."""

    project: str
    backup_id: str
    failures: int
    ended_at: datetime


def hold(connection: Connection, value: Hold) -> None:
    """Keep a backup from being deleted; another hold on it is replaced."""
    query = select(backups.c.state).where(backups.c.id == value.backup_id).with_for_update()
    state = connection.execute(query).scalar()
    if state is None:
        raise no_such("backup", value.backup_id)
    if state in (BackupState.DELETING, BackupState.DELETED):
        raise Conflict(f"backup {value.backup_id} is {state}, expected a backup that is not being deleted")
    release(connection, value.backup_id)
    values = {"backup_id": value.backup_id, "reason": value.reason, "held_at": value.held_at}
    connection.execute(insert(backup_holds).values(values))


def release(connection: Connection, backup_id: str) -> None:
    """End the hold on a backup, if there is one."""
    connection.execute(delete(backup_holds).where(backup_holds.c.backup_id == backup_id))


def of(connection: Connection, backup_ids: Collection[str] | None) -> dict[str, Hold]:
    """Return the holds on some backups, or all holds, by backup."""
    asked = (_ALL, {}) if backup_ids is None else (_SOME, {"wanted": [*backup_ids]})
    return {row.backup_id: Hold(row.backup_id, row.reason, row.held_at) for row in connection.execute(*asked)}


def require_none(connection: Connection, backup_id: str) -> None:
    """Raise Conflict when the backup is held."""
    for held in of(connection, [backup_id]).values():
        raise Conflict(f"backup {backup_id} is held: {held.reason}\nHINT: backupctl backup release {backup_id}")


def failed_deletions(connection: Connection) -> list[FailedDeletion]:
    """Return the backups whose last deletion failed because of a target."""
    found: dict[str, FailedDeletion] = {}
    for project, backup_id, state, code, ended_at in connection.execute(_DELETIONS):
        if state == JobState.FAILED and (code or "").startswith("target"):
            before = found.get(backup_id)
            found[backup_id] = FailedDeletion(project, backup_id, before.failures + 1 if before else 1, ended_at)
        else:
            found.pop(backup_id, None)  # Somebody thought better of it.
    return [*found.values()]
