"""Backups. Each function is part of one transaction, and each change of state one conditional update."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from backupd.catalog import rows
from backupd.catalog.jobs import insert_job, require_fence
from backupd.catalog.tables import backups, jobs
from backupd.errors import Conflict, NotFound
from backupd.model import Backup, BackupResult, BackupState, Job, JobState

_UNFINISHED = (JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING)


def create(connection: Connection, value: Backup, job: Job) -> None:
    running = select(backups.c.id).where(
        backups.c.volume_id == value.volume_id, backups.c.state == BackupState.CREATING
    )
    found = connection.execute(running).first()
    if found is not None:
        raise Conflict(f"backup {found.id} of this volume is still being created")
    if value.parent_id is not None and one(connection, value.parent_id).state is not BackupState.AVAILABLE:
        raise Conflict(f"parent {value.parent_id} is not available any more")
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
        (BackupState.CREATING,),
        state=BackupState.AVAILABLE,
        finished_at=now,
        size_bytes=result.size_bytes,
        parent_id=result.parent_id,
        full_read_reason=result.full_read_reason,
        statistics=asdict(result.statistics),
    )


def add_job(connection: Connection, job: Job) -> None:
    state = one(connection, job.backup_id).state
    if state is not BackupState.AVAILABLE:
        raise Conflict(f"backup {job.backup_id} is {state}, expected {BackupState.AVAILABLE}")
    insert_job(connection, job)


def begin_delete(connection: Connection, backup_id: str, job: Job) -> None:
    using = select(jobs.c.id, jobs.c.kind).where(jobs.c.backup_id == backup_id, jobs.c.state.in_(_UNFINISHED))
    user = connection.execute(using).first()
    if user is not None:
        raise Conflict(f"backup {backup_id} is in use by {user.kind} job {user.id}")
    child = connection.execute(
        select(backups.c.id).where(backups.c.parent_id == backup_id, backups.c.state == BackupState.CREATING)
    ).first()
    if child is not None:
        raise Conflict(f"backup {backup_id} is the parent of backup {child.id}, which is being created")
    _change(connection, backup_id, (BackupState.AVAILABLE, BackupState.ERROR), state=BackupState.DELETING)
    insert_job(connection, job)


def finish_delete(connection: Connection, backup_id: str, *, job_id: str, fence: int, now: datetime) -> None:
    require_fence(connection, job_id, fence)
    _change(connection, backup_id, (BackupState.DELETING,), state=BackupState.DELETED, finished_at=now)


def _change(connection: Connection, backup_id: str, expected: tuple[BackupState, ...], **values: Any) -> None:
    changed = connection.execute(
        update(backups).where(backups.c.id == backup_id, backups.c.state.in_(expected)).values(values)
    )
    if changed.rowcount == 0:
        found = one(connection, backup_id)
        raise Conflict(f"backup {backup_id} is {found.state}, expected {' or '.join(expected)}")
