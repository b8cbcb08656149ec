"""Jobs, their leases and attempts. Each function is part of one transaction; the fence says who may write."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, insert, or_, select, update

from backupd.catalog import rows
from backupd.catalog.tables import attempts, backups, job_packs, jobs
from backupd.errors import Conflict, LeaseLost, NotFound
from backupd.model import (
    Attempt,
    AttemptState,
    BackupState,
    Failure,
    Job,
    JobKind,
    JobState,
    Progress,
)

_HELD = (JobState.RUNNING, JobState.CANCELLING)
_WITHOUT_REQUEST = [column for column in jobs.c if column is not jobs.c.request]
_CANCELLED = Failure("job.cancelled", "cancelled on request")


def insert_job(connection: Connection, value: Job) -> None:
    connection.execute(insert(jobs).values(rows.from_job(value)))


def one(connection: Connection, job_id: str, project: str | None = None) -> Job:
    query = select(jobs).where(jobs.c.id == job_id)
    if project is not None:
        query = query.where(jobs.c.project == project)
    found = connection.execute(query).first()
    if found is None:
        raise NotFound(f"there is no job {job_id!r}")
    return rows.job(found)


def all_of(
    connection: Connection, project: str, *, state: JobState | None, kind: JobKind | None, limit: int
) -> list[Job]:
    query = select(*_WITHOUT_REQUEST).where(jobs.c.project == project)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if kind is not None:
        query = query.where(jobs.c.kind == kind)
    query = query.order_by(jobs.c.created_at.desc(), jobs.c.id).limit(limit)
    return [rows.job(row) for row in connection.execute(query)]


def attempts_of(connection: Connection, job_id: str) -> list[Attempt]:
    query = select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.fence)
    return [rows.attempt(row) for row in connection.execute(query)]


def claim(
    connection: Connection, owner: str, *, lease_s: float, kinds: Collection[JobKind] | None, now: datetime
) -> Job | None:
    """Take the oldest job that is queued or whose lease ran out, with a higher fence."""
    free = or_(jobs.c.state == JobState.QUEUED, and_(jobs.c.state.in_(_HELD), jobs.c.lease_expires_at <= now))
    query = select(jobs).where(free).order_by(jobs.c.created_at, jobs.c.id)
    if kinds is not None:
        query = query.where(jobs.c.kind.in_(kinds))
    found = connection.execute(query).first()
    if found is None:
        return None
    job = rows.job(found)
    taken = connection.execute(
        update(jobs)
        .where(jobs.c.id == job.id, jobs.c.state == job.state, jobs.c.fence == job.fence)
        .values(
            state=JobState.RUNNING if job.state is JobState.QUEUED else job.state,
            fence=job.fence + 1,
            lease_owner=owner,
            lease_expires_at=now + timedelta(seconds=lease_s),
            started_at=job.started_at or now,
        )
    )
    if taken.rowcount == 0:  # Another node was faster; the caller asks again.
        return None
    _end_attempt(connection, job.id, job.fence, AttemptState.LOST, None, now)
    connection.execute(
        insert(attempts).values(
            job_id=job.id, fence=job.fence + 1, owner=owner, state=AttemptState.RUNNING, started_at=now
        )
    )
    return one(connection, job.id)


def release_leases(connection: Connection, owner: str, now: datetime) -> int:
    released = connection.execute(
        update(jobs)
        .where(jobs.c.lease_owner == owner, jobs.c.state.in_(_HELD), jobs.c.lease_expires_at > now)
        .values(lease_expires_at=now)
    )
    return released.rowcount


def release(connection: Connection, job_id: str, fence: int, now: datetime) -> None:
    """Give one job back, so that the next worker resumes it at once."""
    _change(connection, job_id, fence, lease_expires_at=now)
    _end_attempt(connection, job_id, fence, AttemptState.INTERRUPTED, None, now)


def heartbeat(
    connection: Connection, job_id: str, fence: int, *, lease_s: float, progress: Progress, now: datetime
) -> JobState:
    lease_expires_at = now + timedelta(seconds=lease_s)
    _change(connection, job_id, fence, lease_expires_at=lease_expires_at, **_progress(progress))
    return one(connection, job_id).state


def finish(
    connection: Connection,
    job_id: str,
    fence: int,
    *,
    state: JobState,
    failure: Failure | None,
    progress: Progress,
    now: datetime,
) -> None:
    """End a job and its attempt; a backup that it was creating and did not publish ends with it."""
    ended = rows.from_failure(failure)
    values = {"state": state, "finished_at": now, "lease_expires_at": None, "lease_owner": None}
    _change(connection, job_id, fence, **values, **ended, **_progress(progress))
    _end_attempt(connection, job_id, fence, AttemptState(state.value), failure, now)
    if state is not JobState.SUCCEEDED:
        _end_backup(connection, job_id, failure or _CANCELLED, now)


def request_cancel(connection: Connection, project: str, job_id: str, now: datetime) -> JobState:
    """A job that nobody holds ends at once; one that runs is told at its next heartbeat."""
    one(connection, job_id, project)
    mine = jobs.c.id == job_id
    values = {"state": JobState.CANCELLED, "finished_at": now, **rows.from_failure(_CANCELLED)}
    queued = connection.execute(update(jobs).where(mine, jobs.c.state == JobState.QUEUED).values(values))
    if queued.rowcount:
        _end_backup(connection, job_id, _CANCELLED, now)
        return JobState.CANCELLED
    running = update(jobs).where(mine, jobs.c.state.in_(_HELD)).values(state=JobState.CANCELLING)
    if connection.execute(running).rowcount == 0:
        raise Conflict(f"job {job_id} is {one(connection, job_id).state} and cannot be cancelled any more")
    return JobState.CANCELLING


def record_pack(connection: Connection, job_id: str, pack_id: str) -> None:
    connection.execute(insert(job_packs).values(job_id=job_id, pack_id=pack_id))


def packs(connection: Connection, job_id: str) -> list[str]:
    query = select(job_packs.c.pack_id).where(job_packs.c.job_id == job_id).order_by(job_packs.c.pack_id)
    return list(connection.execute(query).scalars())


def require_fence(connection: Connection, job_id: str, fence: int) -> None:
    """LeaseLost unless the job is still held by who was given ``fence``."""
    # An update, and not a query, so that nobody can take the job before the end of the transaction.
    _change(connection, job_id, fence, id=job_id)


def _change(connection: Connection, job_id: str, fence: int, **values: Any) -> None:
    held = and_(jobs.c.id == job_id, jobs.c.fence == fence, jobs.c.state.in_(_HELD))
    if connection.execute(update(jobs).where(held).values(values)).rowcount == 0:
        found = one(connection, job_id)
        raise LeaseLost(f"job {job_id} with fence {fence} was taken over: it is {found.state} with fence {found.fence}")


def _end_attempt(
    connection: Connection,
    job_id: str,
    fence: int,
    state: AttemptState,
    failure: Failure | None,
    now: datetime,
) -> None:
    connection.execute(
        update(attempts)
        .where(attempts.c.job_id == job_id, attempts.c.fence == fence, attempts.c.state == AttemptState.RUNNING)
        .values(state=state, finished_at=now, **rows.from_failure(failure))
    )


# A job that ends badly leaves its backup in error: not published, or its deletion perhaps half done.
_UNFINISHED_BACKUP = {JobKind.BACKUP: BackupState.CREATING, JobKind.DELETE: BackupState.DELETING}


def _end_backup(connection: Connection, job_id: str, failure: Failure, now: datetime) -> None:
    job = one(connection, job_id)
    if job.kind in _UNFINISHED_BACKUP:
        connection.execute(
            update(backups)
            .where(backups.c.id == job.backup_id, backups.c.state == _UNFINISHED_BACKUP[job.kind])
            .values(state=BackupState.ERROR, finished_at=now, **rows.from_failure(failure))
        )


def _progress(progress: Progress) -> dict[str, Any]:
    return {
        "done_bytes": progress.done_bytes,
        "total_bytes": progress.total_bytes,
        "rate_bytes_per_s": progress.rate_bytes_per_s,
        "eta_s": progress.eta_s,
    }
