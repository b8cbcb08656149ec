"""Backups. Each function is part of one transaction, and each change of state one conditional update."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from backupd.block_storage import BackupDetails, Charge
from backupd.catalog import audits, groups, holds, rows
from backupd.catalog.block_storage import backups as block_backups
from backupd.catalog.jobs import UNFINISHED, insert_job, keep_backup, require_fence
from backupd.catalog.tables import backup_copies, backups, jobs, volumes
from backupd.errors import Conflict, no_such
from backupd.model import Backup, BackupCopy, BackupResult, BackupState, CopyState, Job, JobKind, JobState
from backupd.states import BACKUP, BackupEvent


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
    volume = select(volumes.c.id).where(volumes.c.id == value.volume_id).with_for_update()
    if connection.execute(volume).first() is None:
        raise no_such("volume", value.volume_id)
    running = select(backups.c.id).where(
        backups.c.volume_id == value.volume_id, backups.c.state == BackupState.CREATING
    )
    block_backups.require_volume(connection, value, details)
    found = connection.execute(running).first()
    if found is not None and (details is None or details.snapshot_id is None):
        raise Conflict(f"backup {found.id} of this volume is still being created")
    if value.parent_id is not None:
        _require_available(connection, value.parent_id)
    connection.execute(insert(backups).values(rows.from_backup(value)))
    block_backups.add_details(connection, value, details, charges)


def one(connection: Connection, backup_id: str, project: str | None = None) -> Backup:
    query = select(backups).where(backups.c.id == backup_id)
    if project is not None:
        query = query.where(backups.c.project == project)
    found = connection.execute(query).first()
    if found is None:
        raise no_such("backup", backup_id)
    return rows.backup(found)


def all_of(connection: Connection, project: str, volume_id: str | None, *, include_deleted: bool) -> list[Backup]:
    query = select(backups).where(backups.c.project == project)
    if volume_id is not None:
        query = query.where(backups.c.volume_id == volume_id)
    if not include_deleted:
        query = query.where(backups.c.state != BackupState.DELETED)
    return [rows.backup(row) for row in connection.execute(query.order_by(backups.c.created_at.desc()))]


def latest_available(
    connection: Connection, volume_id: str, *, targets: tuple[str, ...], chunk_size_bytes: int, is_encrypted: bool
) -> Backup | None:
    query = (
        select(backups)
        .where(
            backups.c.volume_id == volume_id,
            backups.c.state == BackupState.AVAILABLE,
            backups.c.target == targets[0],
            backups.c.chunk_size_bytes == chunk_size_bytes,
            backups.c.is_encrypted == is_encrypted,
        )
        .order_by(backups.c.created_at.desc())
    )
    found = (rows.backup(row) for row in connection.execute(query))
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
        # A backup that has no parent may have been created with its reason.
        full_read_reason=func.coalesce(result.full_read_reason, backups.c.full_read_reason),
        statistics=asdict(result.statistics),
    )
    published = one(connection, backup_id)
    if result.audit is not None:
        audits.record(connection, published.volume_id, backup_id, result.audit, now)
    block_backups.published(connection, backup_id, result.size_bytes)
    for target in published.targets:
        state = CopyState.LAGGING if target in lagging else CopyState.COMPLETE
        connection.execute(insert(backup_copies).values(backup_id=backup_id, target=target, state=state))


def add_job(connection: Connection, job: Job) -> None:
    if job.backup_id is not None:
        _require_available(connection, job.backup_id)
    insert_job(connection, job)


def copies_of(connection: Connection, backup_id: str) -> list[BackupCopy]:
    query = select(backup_copies).where(backup_copies.c.backup_id == backup_id).order_by(backup_copies.c.target)
    return [rows.backup_copy(row) for row in connection.execute(query)]


def holders(connection: Connection, project: str, *, is_encrypted: bool) -> set[str]:
    query = (
        select(backup_copies.c.target)
        .join(backups, backup_copies.c.backup_id == backups.c.id)
        .where(
            backups.c.project == project,
            backups.c.is_encrypted == is_encrypted,
            backup_copies.c.state == CopyState.COMPLETE,
        )
        .distinct()
    )
    return set(connection.execute(query).scalars())


def lagging_copies(connection: Connection) -> list[tuple[Backup, BackupCopy]]:
    """Return what some target still has to get, the oldest backup first."""
    query = (
        select(backup_copies)
        .join(backups, backup_copies.c.backup_id == backups.c.id)
        .where(backup_copies.c.state == CopyState.LAGGING, backups.c.state == BackupState.AVAILABLE)
        .order_by(backups.c.created_at, backup_copies.c.target)
    )
    return [(one(connection, row.backup_id), rows.backup_copy(row)) for row in connection.execute(query).all()]


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
    mine = and_(backup_copies.c.backup_id == backup_id, backup_copies.c.target == target)
    if connection.execute(update(backup_copies).where(mine).values(state=CopyState.COMPLETE)).rowcount == 0:
        values = {"backup_id": backup_id, "target": target, "state": CopyState.COMPLETE}
        connection.execute(insert(backup_copies).values(values))


def begin_delete(connection: Connection, backup_id: str, job: Job) -> None:
    _change(connection, backup_id, BackupEvent.DELETE_REQUESTED)  # First, because it locks the row.
    holds.require_none(connection, backup_id)
    insert_job(connection, job)  # Who uses the backup now is waited for when the job is claimed.


def finish_delete(connection: Connection, backup_id: str, *, job_id: str, fence: int, now: datetime) -> None:
    require_fence(connection, job_id, fence)
    connection.execute(delete(backup_copies).where(backup_copies.c.backup_id == backup_id))
    block_backups.deleted(connection, backup_id)
    _change(connection, backup_id, BackupEvent.DELETED, finished_at=now)


def keep(connection: Connection, backup_id: str, *, job_id: str, fence: int) -> None:
    require_fence(connection, job_id, fence)
    keep_backup(connection, backup_id)


def _require_available(connection: Connection, backup_id: str) -> None:
    query = select(backups.c.state).where(backups.c.id == backup_id).with_for_update()
    state = connection.execute(query).scalar()
    if state is None:
        raise no_such("backup", backup_id)
    if state != BackupState.AVAILABLE:
        raise Conflict(f"backup {backup_id} is {state}, expected {BackupState.AVAILABLE}")


def _change(connection: Connection, backup_id: str, event: BackupEvent, **values: Any) -> None:
    expected = BACKUP.before(event)
    state = BACKUP.after(expected[0], event)
    mine = update(backups).where(backups.c.id == backup_id, backups.c.state.in_(expected))
    if connection.execute(mine.values(state=state, **values)).rowcount == 0:
        found = one(connection, backup_id)
        raise Conflict(f"backup {backup_id} is {found.state}, expected {' or '.join(expected)}")
