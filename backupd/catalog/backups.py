"""Backups. Each function is part of one transaction, and each change of state one conditional update."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from backupd.catalog import rows
from backupd.catalog.jobs import UNFINISHED, insert_job, require_fence
from backupd.catalog.tables import backups, jobs, volumes
from backupd.errors import Conflict, NotFound
from backupd.model import Backup, BackupResult, BackupState, Job
from backupd.states import BACKUP, BackupEvent


def create(connection: Connection, value: Backup, job: Job) -> None:
    # The rows are locked, where the database locks rows, so that what was found stays so until the commit.
    volume = select(volumes.c.id).where(volumes.c.id == value.volume_id).with_for_update()
    if connection.execute(volume).first() is None:
        raise NotFound(f"there is no volume {value.volume_id!r}")
    running = select(backups.c.id).where(
        backups.c.volume_id == value.volume_id, backups.c.state == BackupState.CREATING
    )
    found = connection.execute(running).first()
    if found is not None:
        raise Conflict(f"backup {found.id} of this volume is still being created")
    if value.parent_id is not None:
        _require_available(connection, value.parent_id)
    connection.execute(insert(backups).values(rows.from_backup(value)))
    insert_job(connection, job)


def one(connection: Connection, backup_id: str, project: str | None = None) -> Backup:
    query = select(backups).where(backups.c.id == backup_id)
    if project is not None:
        query = query.where(backups.c.project == project)
    found = connection.execute(query).first()
    if found is None:
        raise NotFound(f"there is no backup {backup_id!r}")
    return rows.backup(found)


def all_of(connection: Connection, project: str, volume_id: str | None, *, include_deleted: bool) -> list[Backup]:
    query = select(backups).where(backups.c.project == project)
    if volume_id is not None:
        query = query.where(backups.c.volume_id == volume_id)
    if not include_deleted:
        query = query.where(backups.c.state != BackupState.DELETED)
    return [rows.backup(row) for row in connection.execute(query.order_by(backups.c.created_at.desc()))]


def latest_available(
    connection: Connection, volume_id: str, *, target: str, chunk_size_bytes: int, is_encrypted: bool
) -> Backup | None:
    query = (
        select(backups)
        .where(
            backups.c.volume_id == volume_id,
            backups.c.state == BackupState.AVAILABLE,
            backups.c.target == target,
            backups.c.chunk_size_bytes == chunk_size_bytes,
            backups.c.is_encrypted == is_encrypted,
        )
        .order_by(backups.c.created_at.desc())
    )
    found = connection.execute(query).first()
    return rows.backup(found) if found is not None else None


def publish(
    connection: Connection, backup_id: str, *, job_id: str, fence: int, result: BackupResult, now: datetime
) -> None:
    require_fence(connection, job_id, fence)
    _change(
        connection,
        backup_id,
        BackupEvent.PUBLISHED,
        finished_at=now,
        size_bytes=result.size_bytes,
        parent_id=result.parent_id,
        full_read_reason=result.full_read_reason,
        statistics=asdict(result.statistics),
    )


def add_job(connection: Connection, job: Job) -> None:
    _require_available(connection, job.backup_id)
    insert_job(connection, job)


def begin_delete(connection: Connection, backup_id: str, job: Job) -> None:
    _change(connection, backup_id, BackupEvent.DELETE_REQUESTED)  # First, because it locks the row.
    using = select(jobs.c.id, jobs.c.kind).where(jobs.c.backup_id == backup_id, jobs.c.state.in_(UNFINISHED))
    user = connection.execute(using).first()
    if user is not None:
        raise Conflict(f"backup {backup_id} is in use by {user.kind} job {user.id}")
    child = connection.execute(
        select(backups.c.id).where(backups.c.parent_id == backup_id, backups.c.state == BackupState.CREATING)
    ).first()
    if child is not None:
        raise Conflict(f"backup {backup_id} is the parent of backup {child.id}, which is being created")
    insert_job(connection, job)


def finish_delete(connection: Connection, backup_id: str, *, job_id: str, fence: int, now: datetime) -> None:
    require_fence(connection, job_id, fence)
    _change(connection, backup_id, BackupEvent.DELETED, finished_at=now)


def _require_available(connection: Connection, backup_id: str) -> None:
    query = select(backups.c.state).where(backups.c.id == backup_id).with_for_update()
    state = connection.execute(query).scalar()
    if state is None:
        raise NotFound(f"there is no backup {backup_id!r}")
    if state != BackupState.AVAILABLE:
        raise Conflict(f"backup {backup_id} is {state}, expected {BackupState.AVAILABLE}")


def _change(connection: Connection, backup_id: str, event: BackupEvent, **values: Any) -> None:
    expected = BACKUP.before(event)
    state = BACKUP.after(expected[0], event)
    mine = update(backups).where(backups.c.id == backup_id, backups.c.state.in_(expected))
    if connection.execute(mine.values(state=state, **values)).rowcount == 0:
        found = one(connection, backup_id)
        raise Conflict(f"backup {backup_id} is {found.state}, expected {' or '.join(expected)}")
