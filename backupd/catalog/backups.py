"""Backups. Each function is part of one transaction, and each change of state one conditional update."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from backupd.block_storage import BackupDetails, Charge
from backupd.catalog import audits, groups, holds, rows
from backupd.catalog.block_storage import backups as block_backups
from backupd.catalog.jobs import insert_job, keep_backup, require_fence
from backupd.catalog.tables import backup_copies, backups, jobs, volumes
from backupd.errors import Conflict, no_such
from backupd.model import UNFINISHED, Backup, BackupCopy, BackupResult, BackupState, CopyState, Job, JobKind, JobState
from backupd.states import BACKUP, BackupEvent

_ONE = select(backups).where(backups.c.id == bindparam("wanted"))
_VOLUME = select(volumes.c.id).where(volumes.c.id == bindparam("wanted")).with_for_update()
_IN_CREATION = select(backups.c.id).where(
    backups.c.volume_id == bindparam("wanted"), backups.c.state == BackupState.CREATING
)
_STATE = select(backups.c.state).where(backups.c.id == bindparam("wanted")).with_for_update()
_INSERT = insert(backups)
_OF_PROJECT = select(backups).where(backups.c.project == bindparam("wanted")).order_by(backups.c.created_at.desc())
_LIVE = _OF_PROJECT.where(backups.c.state != BackupState.DELETED)
_LATEST = (
    select(backups)
    .where(
        backups.c.volume_id == bindparam("volume_id"),
        backups.c.state == BackupState.AVAILABLE,
        backups.c.target == bindparam("target"),
        backups.c.chunk_size_bytes == bindparam("chunk_size_bytes"),
        backups.c.is_encrypted == bindparam("is_encrypted"),
    )
    .order_by(backups.c.created_at.desc())
)
_CHANGES = {
    event: update(backups).where(backups.c.id == bindparam("wanted"), backups.c.state.in_(BACKUP.before(event)))
    for event in BackupEvent
}
# A backup that has no parent may have been created with its reason.
_CHANGES[BackupEvent.PUBLISHED] = _CHANGES[BackupEvent.PUBLISHED].values(
    full_read_reason=func.coalesce(
        bindparam("found_reason", type_=backups.c.full_read_reason.type), backups.c.full_read_reason
    )
)
_INSERT_COPY = insert(backup_copies)
_COPIES = select(backup_copies).where(backup_copies.c.backup_id == bindparam("wanted")).order_by(backup_copies.c.target)
_ONE_COPY = update(backup_copies).where(
    backup_copies.c.backup_id == bindparam("wanted"), backup_copies.c.target == bindparam("wanted_target")
)
_DELETE_COPIES = delete(backup_copies).where(backup_copies.c.backup_id == bindparam("wanted"))
_HOLDERS = (
    select(backup_copies.c.target)
    .join(backups, backup_copies.c.backup_id == backups.c.id)
    .where(
        backups.c.project == bindparam("project"),
        backups.c.is_encrypted == bindparam("is_encrypted"),
        backup_copies.c.state == CopyState.COMPLETE,
    )
    .distinct()
)
_COPY_JOBS = select(jobs.c.request).where(jobs.c.kind == JobKind.COPY, jobs.c.backup_id == bindparam("wanted"))
# A replication was to bring each backup of its project that it has met, of which it names the last alone.
_REPLICATIONS = (
    select(jobs.c.request)
    .join(backups, backups.c.project == jobs.c.project)
    .where(
        backups.c.id == bindparam("wanted"),
        jobs.c.kind == JobKind.REPLICATE,
        jobs.c.request["is_encrypted"].as_boolean() == backups.c.is_encrypted,
    )
)
_TURN = update(jobs).where(jobs.c.id == bindparam("wanted")).values(backup_id=bindparam("wanted_backup"))
_LAGGING = (
    select(backup_copies)
    .join(backups, backup_copies.c.backup_id == backups.c.id)
    .where(backup_copies.c.state == CopyState.LAGGING, backups.c.state == BackupState.AVAILABLE)
    .order_by(backups.c.created_at, backup_copies.c.target)
)


def create(
    connection: Connection,
    value: Backup,
    job: Job,
    details: BackupDetails | None = None,
    charges: Collection[Charge] = (),
) -> None:
    _create(connection, value, details, charges)
    insert_job(connection, job)


def create_group(connection: Connection, values: Sequence[tuple[Backup, Collection[Charge]]], job: Job) -> None:
    for value, charges in values:
        _create(connection, value, None, charges)
    insert_job(connection, job)
    groups.add(connection, job, [value for value, _ in values])


def _create(connection: Connection, value: Backup, details: BackupDetails | None, charges: Collection[Charge]) -> None:
    # The rows are locked, where the database locks rows, so that what was found stays so until the commit.
    if connection.execute(_VOLUME, {"wanted": value.volume_id}).first() is None:
        raise no_such("volume", value.volume_id)
    block_backups.require_volume(connection, value, details)
    found = connection.execute(_IN_CREATION, {"wanted": value.volume_id}).first()
    if found is not None and (details is None or details.snapshot_id is None):
        raise Conflict(f"backup {found.id} of this volume is still being created")
    if value.parent_id is not None:
        _require_available(connection, value.parent_id)
    connection.execute(_INSERT, rows.from_backup(value))
    block_backups.add_details(connection, value, details, charges)


def one(connection: Connection, backup_id: str, project: str | None = None) -> Backup:
    found = connection.execute(_ONE, {"wanted": backup_id}).first()
    if found is None or project not in (None, found.project):
        raise no_such("backup", backup_id)
    return rows.backup(found)


def all_of(connection: Connection, project: str, volume_id: str | None, *, include_deleted: bool) -> list[Backup]:
    query = _OF_PROJECT if include_deleted else _LIVE
    if volume_id is not None:
        query = query.where(backups.c.volume_id == volume_id)
    return [rows.backup(row) for row in connection.execute(query, {"wanted": project})]


def latest_available(
    connection: Connection, volume_id: str, *, targets: tuple[str, ...], chunk_size_bytes: int, is_encrypted: bool
) -> Backup | None:
    wanted = {
        "volume_id": volume_id,
        "target": targets[0],
        "chunk_size_bytes": chunk_size_bytes,
        "is_encrypted": is_encrypted,
    }
    found = (rows.backup(row) for row in connection.execute(_LATEST, wanted))
    return next((backup for backup in found if backup.targets == targets), None)


def publish(
    connection: Connection,
    backup_id: str,
    *,
    job_id: str,
    fence: int,
    result: BackupResult,
    lagging: Collection[str],
    now: datetime,
) -> None:
    require_fence(connection, job_id, fence)
    _change(
        connection,
        backup_id,
        BackupEvent.PUBLISHED,
        finished_at=now,
        size_bytes=result.size_bytes,
        parent_id=result.parent_id,
        found_reason=result.full_read_reason,
        statistics=asdict(result.statistics),
    )
    published = one(connection, backup_id)
    if result.audit is not None:
        audits.record(connection, published.volume_id, backup_id, result.audit, now)
    block_backups.published(connection, backup_id, result.size_bytes)
    copies = [
        {
            "backup_id": backup_id,
            "target": target,
            "state": CopyState.LAGGING if target in lagging else CopyState.COMPLETE,
        }
        for target in published.targets
    ]
    connection.execute(_INSERT_COPY, copies)


def add_job(connection: Connection, job: Job) -> None:
    if job.backup_id is not None:
        _require_available(connection, job.backup_id)
    insert_job(connection, job)


def copies_of(connection: Connection, backup_id: str) -> list[BackupCopy]:
    return [rows.backup_copy(row) for row in connection.execute(_COPIES, {"wanted": backup_id})]


def holders(connection: Connection, project: str, *, is_encrypted: bool) -> set[str]:
    return set(connection.execute(_HOLDERS, {"project": project, "is_encrypted": is_encrypted}).scalars())


def copied_to(connection: Connection, backup_id: str) -> list[str]:
    """Return the targets that jobs were to copy a backup to; a job that failed may have left it there."""
    found = [row for query in (_COPY_JOBS, _REPLICATIONS) for row in connection.execute(query, {"wanted": backup_id})]
    return sorted({row.request["target"] for row in found})


def lagging_copies(connection: Connection) -> list[tuple[Backup, BackupCopy]]:
    """Return what some target still has to get, the oldest backup first."""
    return [(one(connection, row.backup_id), rows.backup_copy(row)) for row in connection.execute(_LAGGING).all()]


def queue_copies(
    connection: Connection, new_id: Callable[[], str], targets: Collection[str], now: datetime
) -> list[Job]:
    """Queue a job for each copy that lags on one of ``targets`` and has none yet."""
    unfinished = select(jobs.c.backup_id, jobs.c.request).where(
        jobs.c.kind == JobKind.COPY, jobs.c.state.in_(UNFINISHED)
    )
    under_way = {(row.backup_id, row.request["target"]) for row in connection.execute(unfinished)}
    queued = [
        Job(new_id(), backup.project, JobKind.COPY, backup.id, JobState.QUEUED, now, {"target": copy.target})
        for backup, copy in lagging_copies(connection)
        if copy.target in targets and (backup.id, copy.target) not in under_way
    ]
    for job in queued:
        insert_job(connection, job)
    return queued


def complete_copy(connection: Connection, backup_id: str, target: str, *, job_id: str, fence: int) -> None:
    """Write down that a target has all of a backup now, whether or not it was to get it."""
    require_fence(connection, job_id, fence)
    complete = {"state": CopyState.COMPLETE}
    if connection.execute(_ONE_COPY, {"wanted": backup_id, "wanted_target": target, **complete}).rowcount == 0:
        connection.execute(_INSERT_COPY, {"backup_id": backup_id, "target": target, **complete})


def turn_to(connection: Connection, backup_id: str, *, job_id: str, fence: int) -> bool:
    """Let a job on many backups be on this one now, which is not deleted meanwhile; False if that has begun."""
    require_fence(connection, job_id, fence)
    if connection.execute(_STATE, {"wanted": backup_id}).scalar() != BackupState.AVAILABLE:
        return False
    connection.execute(_TURN, {"wanted": job_id, "wanted_backup": backup_id})
    return True


def begin_delete(connection: Connection, backup_id: str, job: Job) -> None:
    _change(connection, backup_id, BackupEvent.DELETE_REQUESTED)  # First, because it locks the row.
    holds.require_none(connection, backup_id)
    insert_job(connection, job)  # Who uses the backup now is waited for when the job is claimed.


def finish_delete(connection: Connection, backup_id: str, *, job_id: str, fence: int, now: datetime) -> None:
    require_fence(connection, job_id, fence)
    connection.execute(_DELETE_COPIES, {"wanted": backup_id})
    block_backups.deleted(connection, backup_id)
    _change(connection, backup_id, BackupEvent.DELETED, finished_at=now)


def keep(connection: Connection, backup_id: str, *, job_id: str, fence: int) -> None:
    require_fence(connection, job_id, fence)
    keep_backup(connection, backup_id)


def _require_available(connection: Connection, backup_id: str) -> None:
    state = connection.execute(_STATE, {"wanted": backup_id}).scalar()
    if state is None:
        raise no_such("backup", backup_id)
    if state != BackupState.AVAILABLE:
        raise Conflict(f"backup {backup_id} is {state}, expected {BackupState.AVAILABLE}")


def _change(connection: Connection, backup_id: str, event: BackupEvent, **values: Any) -> None:
    expected = BACKUP.before(event)
    state = BACKUP.after(expected[0], event)
    if connection.execute(_CHANGES[event], {"wanted": backup_id, "state": state, **values}).rowcount == 0:
        found = one(connection, backup_id)
        raise Conflict(f"backup {backup_id} is {found.state}, expected {' or '.join(expected)}")
