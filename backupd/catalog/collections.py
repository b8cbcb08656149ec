"""The catalog's face towards collections; each method is one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from backupd.catalog import condemnations, epochs
from backupd.catalog.collection_tables import collections
from backupd.catalog.condemnations import Snapshot
from backupd.catalog.jobs import insert_job, require_fence
from backupd.catalog.run import Run
from backupd.catalog.tables import backup_copies, backups, jobs
from backupd.collection import CollectionReport, Condemned, CondemnedKind, Finding
from backupd.model import UNFINISHED, BackupState, Job, JobKind, RepositoryName

_ROWS_AT_A_TIME = 1000
PACKS = (CondemnedKind.PACK, CondemnedKind.FOREIGN)
FORWARDS = (CondemnedKind.FORWARD,)
_STORED = select(backups.c.project, backups.c.target, backups.c.copies)
_COPIED = (
    select(backups.c.project, backup_copies.c.target)
    .join(backup_copies, backup_copies.c.backup_id == backups.c.id)
    .distinct()
)
_BEGUN = (
    select(jobs.c.created_at, jobs.c.request)
    .where(jobs.c.project == bindparam("project"), jobs.c.kind == JobKind.COLLECT)
    .order_by(jobs.c.created_at.desc())
)
_FIRST = select(func.min(backups.c.created_at)).where(backups.c.project == bindparam("project"))


class Collections:
    """What is condemned, what it waits for, and what came of it."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def catalog_id(self) -> str:
        """Return the name of this catalog among those that write to a repository."""
        return await self._run(epochs.catalog_id)

    async def condemn(self, name: RepositoryName, values: Sequence[Condemned]) -> None:
        """Add to what is condemned; ``seal`` makes it hold."""
        for start in range(0, len(values), _ROWS_AT_A_TIME):
            await self._run(condemnations.condemn, name, values[start : start + _ROWS_AT_A_TIME])

    async def seal(self, name: RepositoryName) -> int:
        """Begin the epoch of what was condemned and return it."""
        return await self._run(condemnations.seal, name)

    async def sealed_epoch(self, name: RepositoryName) -> int | None:
        """Return the epoch of the condemnation that is under way; None when there is none."""
        return await self._run(condemnations.sealed_epoch, name)

    async def pending(self) -> list[tuple[RepositoryName, int]]:
        """Return every condemnation that is under way, with its epoch."""
        return await self._run(condemnations.pending)

    async def waiting_for(self, name: RepositoryName, epoch: int) -> list[str]:
        """Return the unfinished jobs of before ``epoch``."""
        return await self._run(condemnations.waiting_for, name, epoch)

    async def snapshot(self, name: RepositoryName, epoch: int) -> Snapshot:
        """Return what a sweep waits for and starts from, at one instant."""
        return await self._run(condemnations.snapshot, name, epoch)

    async def has_condemned(self, names: Collection[RepositoryName]) -> bool:
        """Tell whether anything is condemned in any of the repositories."""
        return await self._run(condemnations.has_any, names)

    async def condemned_among(
        self, names: Collection[RepositoryName], ids: Collection[bytes], kinds: Collection[CondemnedKind] = PACKS
    ) -> set[bytes]:
        """Return those of ``ids`` that are condemned in any of the repositories."""
        return await self._run(condemnations.among, names, kinds, ids)

    async def condemned(self, name: RepositoryName) -> AsyncIterator[list[Condemned]]:
        """Yield, in pages, what this catalog's daemons have condemned; what is behind a page may change meanwhile."""
        last = None
        while found := await self._run(condemnations.page, name, last, _ROWS_AT_A_TIME):
            last = found[-1]
            yield found

    async def going(self, name: RepositoryName) -> list[Condemned]:
        """Return some of what is past the point of no return."""
        return await self._run(condemnations.going, name, _ROWS_AT_A_TIME)

    async def take(self, name: RepositoryName, values: Sequence[Condemned]) -> list[Condemned]:
        """Pass the point of no return with what is condemned still, and return it."""
        return await self._run(condemnations.take, name, values)

    async def reprieve(self, name: RepositoryName, values: Sequence[Condemned]) -> None:
        """Let what is not on its way out yet be relied on again."""
        await self._run(condemnations.reprieve, name, values)

    async def rescue(self, name: RepositoryName, ids: Collection[bytes]) -> bool:
        """Reprieve what a job needs after all; False when it is too late for one of them."""
        return await self._run(condemnations.rescue, name, ids)

    async def forget(self, name: RepositoryName, values: Sequence[Condemned]) -> None:
        """Forget what was deleted."""
        await self._run(condemnations.forget, name, values)

    async def end(self, name: RepositoryName) -> None:
        """Forget a condemnation that is carried out."""
        await self._run(condemnations.end, name)

    async def adopt(self, name: RepositoryName, ids: Collection[bytes]) -> None:
        """Remember what the daemons of other catalogs have condemned."""
        await self._run(condemnations.adopt, name, ids)

    async def note_moved(self, name: RepositoryName, ids: Collection[bytes]) -> None:
        """Remember packs that are compacted away for as long as their forwards are there."""
        await self._run(condemnations.note_moved, name, ids)

    async def moved(self, name: RepositoryName) -> AsyncIterator[list[bytes]]:
        """Yield, in pages, the packs that are known to be compacted away."""
        last = None
        while found := await self._run(condemnations.page, name, last, _ROWS_AT_A_TIME, (CondemnedKind.MOVED,)):
            last = found[-1]
            yield [one.pack_id for one in found]

    async def deleted_among(self, ids: Sequence[str]) -> set[str]:
        """Return those of some backups that are deleted; what the catalog does not know is none of them."""
        found = set[str]()
        for start in range(0, len(ids), _ROWS_AT_A_TIME):
            found |= await self._run(_deleted_among, ids[start : start + _ROWS_AT_A_TIME])
        return found

    async def note_leavings(self, name: RepositoryName, digests: Sequence[str]) -> set[str]:
        """Note which leavings of writes there are now; return those that belong to nobody for certain."""
        return await self._run(condemnations.note_leavings, name, digests)

    async def recorded_packs(self, project: str, *, is_abandoned: bool) -> AsyncIterator[list[bytes]]:
        """Yield, in pages, the packs that unfinished jobs have stored, or those that came to nothing."""
        after = ("", "")
        while found := await self._run(
            condemnations.recorded_packs, project, is_abandoned=is_abandoned, after=after, limit=_ROWS_AT_A_TIME
        ):
            after = found[-1]
            yield [bytes.fromhex(pack_id) for _, pack_id in found]

    async def store_report(self, job_id: str, fence: int, report: CollectionReport) -> None:
        """Keep what a collection found and did. LeaseLost."""
        await self._run(_store_report, job_id, fence, report)

    async def report(self, job_id: str) -> CollectionReport | None:
        """Return what a collection found and did; None before its end."""
        return await self._run(_report, job_id)

    async def add_job(self, job: Job) -> str | None:
        """Queue a collection, unless there is another one of its target, whose id is returned."""
        return await self._run(_add_job, job)

    async def stored_to(self) -> list[tuple[str, str]]:
        """Return each project with the targets that it has stored, or meant to store, backups on."""
        return await self._run(_stored_to)

    async def last_begun(self, project: str, target: str) -> datetime | None:
        """Return when a target was last collected, or when the project had its first backup; None for neither."""
        return await self._run(_last_begun, project, target)


def _store_report(connection: Connection, job_id: str, fence: int, report: CollectionReport) -> None:
    require_fence(connection, job_id, fence)
    connection.execute(delete(collections).where(collections.c.job_id == job_id))
    connection.execute(insert(collections).values(job_id=job_id, report=asdict(report)))


def _report(connection: Connection, job_id: str) -> CollectionReport | None:
    found = connection.execute(select(collections.c.report).where(collections.c.job_id == job_id)).scalar()
    if found is None:
        return None
    lists = {name: tuple(value) for name, value in found.items() if isinstance(value, list)}
    lists["findings"] = tuple(Finding(**one) for one in lists["findings"])
    return CollectionReport(**found | lists)


def _add_job(connection: Connection, job: Job) -> str | None:
    other = _unfinished(connection, job.project, job.request["target"])
    if other is None:
        insert_job(connection, job)
    return other


def _deleted_among(connection: Connection, ids: Sequence[str]) -> set[str]:
    query = select(backups.c.id).where(backups.c.id.in_(ids), backups.c.state == BackupState.DELETED)
    return set(connection.execute(query).scalars())


def _stored_to(connection: Connection) -> list[tuple[str, str]]:
    found = {(project, target) for project, first, copies in connection.execute(_STORED) for target in (first, *copies)}
    return sorted(found | {(project, target) for project, target in connection.execute(_COPIED)})


def _unfinished(connection: Connection, project: str, target: str) -> str | None:
    query = select(jobs.c.id, jobs.c.request).where(
        jobs.c.project == project, jobs.c.kind == JobKind.COLLECT, jobs.c.state.in_(UNFINISHED)
    )
    return next((row.id for row in connection.execute(query) if row.request["target"] == target), None)


def _last_begun(connection: Connection, project: str, target: str) -> datetime | None:
    for row in connection.execute(_BEGUN, {"project": project}):
        if row.request["target"] == target and not row.request["is_dry_run"] and not row.request["is_sweep_only"]:
            begun_at: datetime = row.created_at
            return begun_at
    return connection.execute(_FIRST, {"project": project}).scalar()
