"""Jobs, their leases and attempts. Each function is part of one transaction; the fence says who may write."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, func, insert, or_, select, type_coerce, update

from backupd.catalog import epochs, rows
from backupd.catalog.block_storage.endings import ended
from backupd.catalog.group_tables import grouped_backups
from backupd.catalog.tables import attempts, backups, job_packs, jobs
from backupd.catalog.turns import is_its_turn
from backupd.errors import Conflict, LeaseLost, no_such
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
from backupd.states import ATTEMPT, BACKUP, JOB, AttemptEvent, BackupEvent, JobEvent

_HELD = JOB.before(JobEvent.RELEASED)
# The changed extents of an incremental backup may be megabytes each, so they are for the worker only.
_SHORT_REQUEST = case((jobs.c.kind == JobKind.BACKUP, None), else_=jobs.c.request)
SHORT_REQUEST = type_coerce(_SHORT_REQUEST, jobs.c.request.type).label("request")
ALL = tuple(jobs.c)
SHOWN = [SHORT_REQUEST if column is jobs.c.request else column for column in jobs.c]
_CANCELLED = Failure("job.cancelled", "cancelled on request")
# Made once, here and elsewhere: making a statement takes longer than executing it.
_INSERT = insert(jobs)
_ONE, _SHOWN_ONE = (select(*columns).where(jobs.c.id == bindparam("wanted")) for columns in (ALL, SHOWN))
_STATE = select(jobs.c.state).where(jobs.c.id == bindparam("wanted"))
_HELD_ONE = update(jobs).where(
    jobs.c.id == bindparam("wanted"), jobs.c.fence == bindparam("held_fence"), jobs.c.state.in_(_HELD)
)
_TAKE = update(jobs).where(
    jobs.c.id == bindparam("wanted"),
    jobs.c.state == bindparam("seen_state"),
    jobs.c.fence == bindparam("seen_fence"),
)
_RUNNING_ONE = update(jobs).where(jobs.c.id == bindparam("wanted"), jobs.c.state == JobState.RUNNING)
_ATTEMPTS = select(attempts).where(attempts.c.job_id == bindparam("wanted")).order_by(attempts.c.fence)
_INSERT_ATTEMPT = insert(attempts)
_RUNNING_ATTEMPT = update(attempts).where(
    attempts.c.job_id == bindparam("wanted"),
    attempts.c.fence == bindparam("held_fence"),
    attempts.c.state == AttemptState.RUNNING,
)
_INSERT_PACK = insert(job_packs)
_PACKS = select(job_packs.c.pack_id).where(job_packs.c.job_id == bindparam("wanted")).order_by(job_packs.c.pack_id)
_FREE = (
    select(jobs)
    .where(
        jobs.c.state.in_(JOB.before(JobEvent.CLAIMED)),
        or_(jobs.c.state == JobState.QUEUED, jobs.c.lease_expires_at <= bindparam("now")),
        is_its_turn(),
    )
    .order_by(jobs.c.created_at, jobs.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)


def insert_job(connection: Connection, value: Job) -> None:
    connection.execute(_INSERT, {"is_publishing": False, **rows.from_job(value)})


def one(connection: Connection, job_id: str, project: str | None = None, *, is_short: bool = False) -> Job:
    """Return a job; a short one is without a request that may be long. NotFound, also in another project."""
    found = connection.execute(_SHOWN_ONE if is_short else _ONE, {"wanted": job_id}).first()
    if found is None or project not in (None, found.project):
        raise no_such("job", job_id)
    return rows.job(found)


def all_of(
    connection: Connection, project: str, *, state: JobState | None, kind: JobKind | None, limit: int
) -> list[Job]:
    query = select(*SHOWN).where(jobs.c.project == project)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if kind is not None:
        query = query.where(jobs.c.kind == kind)
    query = query.order_by(jobs.c.created_at.desc(), jobs.c.id).limit(limit)
    return [rows.job(row) for row in connection.execute(query)]


def counts(connection: Connection) -> dict[tuple[JobKind, JobState], int]:
    query = select(jobs.c.kind, jobs.c.state, func.count()).group_by(jobs.c.kind, jobs.c.state)
    return {(JobKind(kind), JobState(state)): count for kind, state, count in connection.execute(query)}


def attempts_of(connection: Connection, job_id: str) -> list[Attempt]:
    return [rows.attempt(row) for row in connection.execute(_ATTEMPTS, {"wanted": job_id})]


def claim(
    connection: Connection, owner: str, *, lease_s: float, kinds: Collection[JobKind] | None, now: datetime
) -> Job | None:
    """Take the oldest job that is queued or whose lease ran out, with a higher fence."""
    query = _FREE if kinds is None else _FREE.where(jobs.c.kind.in_(kinds))
    while (found := connection.execute(query, {"now": now}).first()) is not None:
        job = rows.job(found)
        claimed = replace(
            job,
            state=JOB.after(job.state, JobEvent.CLAIMED),
            fence=job.fence + 1,
            lease_owner=owner,
            lease_expires_at=now + timedelta(seconds=lease_s),
            started_at=job.started_at or now,
        )
        if _take(connection, job, claimed):
            _end_attempt(connection, job.id, job.fence, AttemptEvent.LOST, None, now)
            _begin_attempt(connection, claimed, now)
            epochs.note(connection, claimed)
            return claimed
    return None  # A row that another node took meanwhile is no longer found.


def _take(connection: Connection, seen: Job, claimed: Job) -> bool:
    as_seen = {"wanted": seen.id, "seen_state": seen.state, "seen_fence": seen.fence}
    names = ("state", "fence", "lease_owner", "lease_expires_at", "started_at")
    values = {name: getattr(claimed, name) for name in names}
    return connection.execute(_TAKE, as_seen | values).rowcount == 1


def _begin_attempt(connection: Connection, job: Job, now: datetime) -> None:
    values = {"job_id": job.id, "fence": job.fence, "owner": job.lease_owner, "started_at": now}
    connection.execute(_INSERT_ATTEMPT, {"state": AttemptState.RUNNING, **values})


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
    _end_attempt(connection, job_id, fence, AttemptEvent.INTERRUPTED, None, now)


def heartbeat(
    connection: Connection, job_id: str, fence: int, *, lease_s: float, progress: Progress, now: datetime
) -> JobState:
    lease_expires_at = now + timedelta(seconds=lease_s)
    _change(connection, job_id, fence, lease_expires_at=lease_expires_at, **_progress(progress))
    return _state(connection, job_id)


def begin_publish(connection: Connection, job_id: str, fence: int) -> JobState:
    """Let no cancellation come between this and the publication, unless it has come already."""
    require_fence(connection, job_id, fence)
    connection.execute(_RUNNING_ONE, {"wanted": job_id, "is_publishing": True})
    return _state(connection, job_id)


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
    """End a job and its attempt; a backup that it was creating and did not publish ends with it.

    A job whose backup is published, or deleted, has succeeded, whatever happened to its worker after that.
    """
    if state is not JobState.SUCCEEDED and _has_done_its_work(connection, job_id):
        state, failure = JobState.SUCCEEDED, None
    values = {"state": state, "finished_at": now, "lease_expires_at": None, "lease_owner": None}
    _change(connection, job_id, fence, **values, **rows.from_failure(failure), **_progress(progress))
    _end_attempt(connection, job_id, fence, AttemptEvent(state.value), failure, now)
    if state is not JobState.SUCCEEDED:
        _fail_backup(connection, job_id, failure or _CANCELLED, now)
    ended(connection, one(connection, job_id, is_short=True), state, failure, now)


def request_cancel(connection: Connection, project: str, job_id: str, now: datetime) -> JobState:
    """A job that nobody holds ends at once; one that runs is told at its next heartbeat."""
    job = one(connection, job_id, project)
    mine = jobs.c.id == job_id
    values = {"state": JobState.CANCELLED, "finished_at": now, **rows.from_failure(_CANCELLED)}
    queued = connection.execute(update(jobs).where(mine, jobs.c.state == JobState.QUEUED).values(values))
    if queued.rowcount:
        if job.kind is JobKind.DELETE:
            keep_backup(connection, job.of_backup)
        else:
            _fail_backup(connection, job_id, _CANCELLED, now)
        ended(connection, job, JobState.CANCELLED, _CANCELLED, now)
        return JobState.CANCELLED
    running = update(jobs).where(mine, jobs.c.state.in_(_HELD), jobs.c.is_publishing.is_(False))
    if connection.execute(running.values(state=JobState.CANCELLING)).rowcount == 0:
        state = _state(connection, job_id)
        reason = f"is {state}" if state.is_final else "is publishing its backup"
        raise Conflict(f"job {job_id} {reason} and cannot be cancelled any more")
    return JobState.CANCELLING


def record_packs(connection: Connection, job_id: str, pack_ids: Sequence[str]) -> None:
    connection.execute(_INSERT_PACK, [{"job_id": job_id, "pack_id": pack_id} for pack_id in pack_ids])


def packs(connection: Connection, job_id: str) -> list[str]:
    return list(connection.execute(_PACKS, {"wanted": job_id}).scalars())


def require_fence(connection: Connection, job_id: str, fence: int) -> None:
    """LeaseLost unless the job is still held by who was given ``fence``."""
    # An update, and not a query, so that nobody can take the job before the end of the transaction.
    _change(connection, job_id, fence, id=job_id)


def _state(connection: Connection, job_id: str) -> JobState:
    return JobState(connection.execute(_STATE, {"wanted": job_id}).scalar_one())


def _change(connection: Connection, job_id: str, fence: int, **values: Any) -> None:
    if connection.execute(_HELD_ONE, {"wanted": job_id, "held_fence": fence, **values}).rowcount == 0:
        found = one(connection, job_id)
        raise LeaseLost(f"job {job_id} with fence {fence} was taken over: it is {found.state} with fence {found.fence}")


def _end_attempt(
    connection: Connection,
    job_id: str,
    fence: int,
    event: AttemptEvent,
    failure: Failure | None,
    now: datetime,
) -> None:
    state = ATTEMPT.after(AttemptState.RUNNING, event)
    values = {"state": state, "finished_at": now, **rows.from_failure(failure)}
    connection.execute(_RUNNING_ATTEMPT, {"wanted": job_id, "held_fence": fence, **values})


# The work of these jobs is a change of their backup's state.
_WORK = {
    JobKind.BACKUP: BackupEvent.PUBLISHED,
    JobKind.IMPORT: BackupEvent.PUBLISHED,
    JobKind.DELETE: BackupEvent.DELETED,
}

_KIND_AND_BACKUP = (
    select(jobs.c.kind, backups.c.state).join_from(jobs, backups, isouter=True).where(jobs.c.id == bindparam("wanted"))
)
_OF_JOB = select(jobs.c.backup_id).where(jobs.c.id == bindparam("wanted"), jobs.c.kind.in_(_WORK))
_IN_GROUP = select(grouped_backups.c.backup_id).where(grouped_backups.c.job_id == bindparam("wanted"))
_UNDONE_BACKUPS = update(backups).where(
    backups.c.id.in_(_OF_JOB.union_all(_IN_GROUP)),
    backups.c.state.in_(BACKUP.before(BackupEvent.FAILED)),
)


def _has_done_its_work(connection: Connection, job_id: str) -> bool:
    found = connection.execute(_KIND_AND_BACKUP, {"wanted": job_id}).one()
    kind = JobKind(found.kind)
    if kind is JobKind.DELETE:
        return BackupState(found.state) is BackupState.DELETED  # It may have been kept.
    return kind in _WORK and BackupState(found.state) not in BACKUP.before(_WORK[kind])


def _fail_backup(connection: Connection, job_id: str, failure: Failure, now: datetime) -> None:
    """Leave each backup in error that was not published, or whose deletion may be half done."""
    values = {"state": BackupState.ERROR, "finished_at": now, **rows.from_failure(failure)}
    connection.execute(_UNDONE_BACKUPS, {"wanted": job_id, **values})


def keep_backup(connection: Connection, backup_id: str) -> None:
    """Give a backup back as it was before a deletion that never began."""
    is_whole: ColumnElement[bool] = and_(backups.c.size_bytes.is_not(None), backups.c.failure_code.is_(None))
    connection.execute(
        update(backups)
        .where(backups.c.id == backup_id, backups.c.state.in_(BACKUP.before(BackupEvent.KEPT)))
        .values(state=case((is_whole, BackupState.AVAILABLE), else_=BackupState.ERROR))
    )


def _progress(progress: Progress) -> dict[str, Any]:
    return {
        "done_bytes": progress.done_bytes,
        "total_bytes": progress.total_bytes,
        "rate_bytes_per_s": progress.rate_bytes_per_s,
        "eta_s": progress.eta_s,
    }
