"""The collect job: what no backup needs any more goes; docs/collection.md says why that is safe.

Each step may be done twice, and a job that dies is done again from its first step.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from backupd.collection import CollectionReport, Condemned, CondemnedKind, Finding, Reason
from backupd.errors import CorruptObject, NotFound
from backupd.jobs.enlisting import foreign_writers, forget_writer
from backupd.jobs.judging import first_judgement
from backupd.jobs.late_manifests import kept_ids, remove_late
from backupd.jobs.leavings import Leavings
from backupd.jobs.locks import Locks
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.jobs.sweep import Sweep, Tally
from backupd.model import Job, RepositoryName
from backupd.pipeline.mark import Marker
from backupd.pipeline.marks import Marks
from backupd.pipeline.progress import ProgressMeter
from backupd.repository import layout
from backupd.repository.repository import Repository
from backupd.repository.scratch import remove
from backupd.repository.writer import Writer
from targets.base import LocksObjects, SweepsOrphans

_FINDINGS_MAX = 1000
_JUDGED_AT_A_TIME = 1000
_log = logging.getLogger(__name__)


class CollectBody:
    """Runs collect jobs.

    ``directory`` is for what a collection has seen; ``live_share_min`` is that of a target; ``drivers`` are of those
    targets whose writes may leave something, ``lockers`` of those that lock what is stored.
    """

    def __init__(
        self,
        resources: Resources,
        directory: Path,
        live_share_min: Callable[[str], float],
        drivers: Mapping[str, SweepsOrphans] = MappingProxyType({}),
        lockers: Mapping[str, LocksObjects] = MappingProxyType({}),
    ) -> None:
        self._resources = resources
        self._leavings = Leavings(resources.catalog, drivers)
        self._locks = Locks(resources, lockers)
        self._directory = directory
        self._live_share_min = live_share_min

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Collect what a project has on the target that the request names."""
        run.progress = progress = ProgressMeter(self._resources.clock)
        tally = Tally(is_dry_run=job.request["is_dry_run"])
        if job.request["forget_writer"] is not None:
            await self._forget_writer(job)
        for is_encrypted in (True, False):
            name = RepositoryName(job.project, job.request["target"], is_encrypted)
            repository = await self._repository(name)
            if repository is not None:
                share = self._live_share_min(name.target)
                one = _Collection(
                    self._resources,
                    self._directory,
                    name,
                    repository,
                    share,
                    leavings=self._leavings,
                    locks=self._locks,
                    progress=progress,
                    tally=tally,
                )
                await one.run(is_sweep_only=job.request["is_sweep_only"])
        report = tally.report()
        await self._resources.catalog.collections.store_report(job.id, job.fence, report)
        _log.info("job %s: collection of target %s: %s", job.id, job.request["target"], summary(report))

    async def _forget_writer(self, job: Job) -> None:
        """NotFound when no such catalog is known; a later attempt cannot tell, as one before may have forgotten it."""
        wanted, target = job.request["forget_writer"], job.request["target"]
        ours = await self._resources.catalog.collections.catalog_id()
        is_known, others = job.fence > 1, list[Writer]()
        for name in [RepositoryName(job.project, target, is_encrypted) for is_encrypted in (True, False)]:
            if (repository := await self._repository(name)) is not None:
                is_known |= await forget_writer(repository.target, wanted)
                others += await foreign_writers(repository.target, ours)
        if not is_known:
            known = ", ".join(dict.fromkeys(f"{one.catalog_id} ({one.name})" for one in others)) or "none"
            raise NotFound(f"writer {wanted}: no such daemon has written to target {target}; others that have: {known}")

    async def _repository(self, name: RepositoryName) -> Repository | None:
        repository = await self._resources.repositories.existing(name)
        if repository is None:
            holders = await self._resources.catalog.holders(name.project, is_encrypted=name.is_encrypted)
            if name.target in holders:
                raise CorruptObject(f"{layout.REPOSITORY} is lost: target {name.target} holds backups")
        return repository


class _Collection:
    """One collection of one repository on one target."""

    def __init__(
        self,
        resources: Resources,
        directory: Path,
        name: RepositoryName,
        repository: Repository,
        live_share_min: float,
        *,
        leavings: Leavings,
        locks: Locks,
        progress: ProgressMeter,
        tally: Tally,
    ) -> None:
        self._resources = resources
        self._collections = resources.catalog.collections
        self._name = name
        self._repository = repository
        self._live_share_min = live_share_min
        self._leavings = leavings
        self._locks = locks
        self._progress = progress
        self._tally = tally
        kind = "encrypted" if name.is_encrypted else "plain"
        self._path = directory / f"{name.project}.{name.target}.{kind}.db"

    async def run(self, *, is_sweep_only: bool) -> None:
        """Carry out what is condemned, then condemn anew and carry that out, as far as nobody need be waited for."""
        if self._tally.is_dry_run:
            await self._rehearse()
            return
        sweep = Sweep(
            self._resources,
            self._name,
            self._repository,
            live_share_min=self._live_share_min,
            open_marks=self._open_marks,
            tally=self._tally,
        )
        await self._resources.repositories.enlist(self._name)
        if not is_sweep_only:
            path = self._path.with_suffix(".locks.db")
            await self._locks.extend(self._name, self._repository, path, self._progress)
        if await self._is_under_way() and not await self._has_swept(sweep):
            return
        if is_sweep_only or await sweep.has_foreign_writers():
            return  # Where nothing could be deleted nothing is condemned.
        await remove_late(self._repository, self._collections)
        self._tally.add(leavings=await self._leavings.sweep(self._name))
        if await self._condemn():
            await self._has_swept(sweep)

    async def _has_swept(self, sweep: Sweep) -> bool:
        """Carry out what is condemned. What was seen is kept for later only if there is something to wait for."""
        try:
            is_done = await sweep.run(await self._sealed())
        except CorruptObject:
            await self._drop_marks()  # What cannot be read now may be deleted by the next time.
            raise
        if is_done:
            await self._drop_marks()
        return is_done

    async def _is_under_way(self) -> bool:
        if await self._collections.sealed_epoch(self._name) is not None:
            return True
        async for _ in self._collections.condemned(self._name):
            return True
        return False

    async def _sealed(self) -> int:
        """Return the epoch of what is condemned; a daemon that died may have left it without one."""
        found = await self._collections.sealed_epoch(self._name)
        return await self._collections.seal(self._name) if found is None else found

    async def _rehearse(self) -> None:
        """Find out what would go; nothing is changed."""
        path = self._path.with_suffix(".dry.db")
        marks = await self._new_marks(path)
        try:
            async for found in self._judged(marks):
                await self._resources.workers.run(self._note, found, marks)
        finally:
            await self._resources.workers.run(marks.close)
            await self._resources.workers.run(remove, path)
        for leaving in (await self._leavings.found(self._name))[: _FINDINGS_MAX - len(self._tally.findings)]:
            self._tally.add(findings_count=1)
            self._tally.findings.append(Finding(leaving.key or leaving.name, Reason.ORPHAN, leaving.size_bytes, 0))

    async def _condemn(self) -> bool:
        """Condemn what no backup needs, and tell whether there was any."""
        has_found = False
        marks = await self._new_marks(self._path)
        try:
            async for found in self._judged(marks):
                has_found = True
                await self._resources.workers.run(self._note, found, marks)
                await self._collections.condemn(self._name, found)
                packs = [one.pack_id for one in found if one.kind is CondemnedKind.PACK]
                self._tally.add(condemned=len(packs))
                await self._resources.repositories.forget_packs(self._repository.keys.repository_id, packs)
            if has_found:
                await self._resources.workers.run(marks.set_epoch, await self._collections.seal(self._name))
        finally:
            await self._resources.workers.run(marks.close)
        if not has_found:
            await self._drop_marks()
        return has_found

    async def _judged(self, marks: Marks) -> AsyncIterator[list[Condemned]]:
        """Yield, in pages, what is to be condemned."""
        workers = self._resources.workers
        number = 0
        while packs := await workers.run(partial(marks.packs, after=number, limit=_JUDGED_AT_A_TIME)):
            number = packs[-1].number
            dead = first_judgement(packs, live_share_min=self._live_share_min)
            found = await self._locks.free(self._name, dead)
            self._tally.add(packs=len(packs), live_packs=len(packs) - len(dead), locked_packs=len(dead) - len(found))
            if found:
                yield found
        last = b""
        while forwards := await workers.run(
            partial(marks.forwards, is_needed=False, after=last, limit=_JUDGED_AT_A_TIME)
        ):
            last = forwards[-1][0]
            unused = [Condemned(CondemnedKind.FORWARD, one, Reason.UNUSED, size) for one, size in forwards]
            if found := await self._locks.free(self._name, unused):
                yield found
        self._tally.add(forwards=await workers.run(marks.count_forwards))

    def _note(self, found: list[Condemned], marks: Marks) -> None:
        for one in found[: _FINDINGS_MAX - len(self._tally.findings)]:
            pack = marks.pack(one.pack_id) if one.kind is CondemnedKind.PACK else None
            key = layout.pack(one.pack_id) if one.kind is CondemnedKind.PACK else layout.forward(one.pack_id)
            live = pack.live_bytes if pack is not None else 0
            prefix = layout.prefix(self._name.project, is_encrypted=self._name.is_encrypted)
            self._tally.findings.append(Finding(prefix + key, one.reason, one.size_bytes, live))
        self._tally.add(findings_count=len(found))

    async def _new_marks(self, path: Path) -> Marks:
        """Look at everything that is there, and mark what backups and running jobs need."""
        workers = self._resources.workers
        await workers.run(remove, path)
        marks = await workers.run(Marks, path)
        try:
            marker = self._marker(marks)
            # In this order: a backup that is published meanwhile either has its packs recorded or is listed.
            await marker.list_packs()
            await self._add_condemned(marks)
            async for listed in marker.list_forwards():
                if not self._tally.is_dry_run:
                    await self._collections.note_moved(self._name, listed)
            async for moved in self._collections.moved(self._name):
                await marker.add_forwards([(pack_id, 0) for pack_id in moved])
            for is_abandoned in (False, True):
                async for packs in self._collections.recorded_packs(self._name.project, is_abandoned=is_abandoned):
                    await workers.run(marks.add_recorded, packs, is_abandoned=is_abandoned)
            for backup_id in await kept_ids(self._repository, self._collections):
                await marker.mark(backup_id)
        except BaseException:
            await workers.run(marks.close)
            await workers.run(remove, path)
            raise
        return marks

    async def _add_condemned(self, marks: Marks) -> None:
        """Note what is condemned already: of a pack that the listing missed it would not be seen that it is needed."""
        async for page in self._collections.condemned(self._name):
            packs = [(one.pack_id, one.size_bytes) for one in page if one.kind is CondemnedKind.PACK]
            await self._resources.workers.run(marks.add_packs, packs)

    async def _open_marks(self, epoch: int) -> Marks:
        """Return what was seen before the condemnation, or look at everything anew."""
        workers = self._resources.workers
        marks = await workers.run(Marks, self._path)
        if await workers.run(marks.epoch) == epoch:
            return marks
        await workers.run(marks.close)
        marks = await self._new_marks(self._path)
        await workers.run(marks.set_epoch, epoch)
        return marks

    async def _drop_marks(self) -> None:
        await self._resources.workers.run(remove, self._path)

    def _marker(self, marks: Marks) -> Marker:
        return Marker(self._repository, marks, self._resources.workers, self._progress)


def summary(report: CollectionReport) -> str:
    """Return a report in one line."""
    numbers = replace(report, findings=())
    parts = [f"{numbers.packs} packs, {numbers.live_packs} of them live"]
    parts.append(f"{numbers.condemned} condemned, {numbers.reprieved} reprieved, {numbers.deleted} deleted")
    parts.append(f"{numbers.compacted} compacted, {numbers.freed_bytes} bytes freed")
    if numbers.locked_packs:
        parts.append(f"{numbers.locked_packs} are locked and stay")
    if report.waiting_for:
        parts.append(f"waits for jobs {', '.join(report.waiting_for)}")
    if report.foreign_writers:
        parts.append(f"nothing is deleted while others write there: {', '.join(report.foreign_writers)}")
    return "; ".join(parts)
