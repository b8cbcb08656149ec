"""The sweep: what is condemned goes, once no job can need it that does not know of its condemnation."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from backupd.catalog.condemnations import Root
from backupd.collection import CollectionReport, Condemned, CondemnedKind, Finding, Reason
from backupd.errors import CorruptObject
from backupd.jobs.enlisting import foreign_writers, keep_spare
from backupd.jobs.judging import Fate, last_judgement
from backupd.jobs.late_manifests import kept_ids
from backupd.jobs.resources import Resources
from backupd.model import RepositoryName
from backupd.pipeline.compact import Compactor
from backupd.pipeline.mark import Marker
from backupd.pipeline.marks import Marks
from backupd.pipeline.progress import ProgressMeter
from backupd.repository import condemned, layout
from backupd.repository.condemned import Condemnation
from backupd.repository.repository import Repository
from chunker.pack import PackEntry
from targets.errors import PermissionDenied, QuotaExceeded

_LOOKS_MAX = 10
_DEAD = (Reason.DEAD, Reason.ORPHAN, Reason.UNUSED)
_log = logging.getLogger(__name__)
OpenMarks = Callable[[int], Awaitable[Marks]]
"""Return what was seen before the condemnation of an epoch."""


class Tally:
    """What a collection has found and done so far."""

    def __init__(self, *, is_dry_run: bool) -> None:
        self.is_dry_run = is_dry_run
        self.findings: list[Finding] = []
        self.waiting_for: list[str] = []
        self.foreign_writers: list[str] = []
        self._counts: dict[str, int] = {}

    def add(self, **counts: int) -> None:
        """Add to counts of the report, by their names."""
        for name, count in counts.items():
            self._counts[name] = self._counts.get(name, 0) + count

    def report(self) -> CollectionReport:
        """Return the state of now."""
        return CollectionReport(
            is_dry_run=self.is_dry_run,
            waiting_for=tuple(dict.fromkeys(self.waiting_for)),
            foreign_writers=tuple(dict.fromkeys(self.foreign_writers)),
            findings=tuple(self.findings),
            **self._counts,
        )


class Sweep:
    """Carries out the condemnation of one repository on one target."""

    def __init__(
        self,
        resources: Resources,
        name: RepositoryName,
        repository: Repository,
        *,
        live_share_min: float,
        open_marks: OpenMarks,
        tally: Tally,
    ) -> None:
        self._resources = resources
        self._collections = resources.catalog.collections
        self._name = name
        self._repository = repository
        self._target = repository.target
        self._live_share_min = live_share_min
        self._open_marks = open_marks
        self._tally = tally

    async def run(self, epoch: int) -> bool:
        """Tell whether all of it is done; otherwise ``tally`` knows what it waits for."""
        await self._end_what_was_begun()
        waiting = await self._collections.waiting_for(self._name, epoch)
        if waiting:
            self._tally.waiting_for += waiting
            return False
        marks = await self._open_marks(epoch)
        try:
            if not await self._mark_what_is_new(marks, epoch):
                return False
            await self._carry_out(marks)
        finally:
            await self._resources.workers.run(marks.close)
        await self._withdraw()
        await self._collections.end(self._name)
        await self._resources.repositories.tidy_indexes(self._repository.keys.repository_id)
        return True

    async def has_foreign_writers(self) -> bool:
        """Tell whether daemons of other catalogs write here, about whose jobs nothing is known."""
        found = await foreign_writers(self._target, await self._collections.catalog_id())
        self._tally.foreign_writers += [f"{one.catalog_id} ({one.name})" for one in found]
        for one in found:
            _log.warning(
                "%s/%s: nothing is deleted while catalog %s (%s) writes there, too",
                *(self._name.target, self._name.project, one.catalog_id, one.name),
            )
        return bool(found)

    async def _end_what_was_begun(self) -> None:
        """Delete what was dead for certain when somebody died, whatever else there is to wait for."""
        while begun := [one for one in await self._collections.going(self._name) if one.reason in _DEAD]:
            await self._delete(begun)

    async def _mark_what_is_new(self, marks: Marks, epoch: int) -> bool:
        """Mark the backups that were published since; tell whether it is known what all of them need.

        A backup may be made on top of one that is deleted before this has come to it. So one that should be
        there and is not makes it look again, at what the catalog says then.
        """
        marker = Marker(self._repository, marks, self._resources.workers, ProgressMeter(self._resources.clock))
        await marker.read_nodes()
        missing: set[str] = set()
        for _ in range(_LOOKS_MAX):
            snapshot = await self._collections.snapshot(self._name, epoch)
            if snapshot.waiting_for:
                self._tally.waiting_for += snapshot.waiting_for
                return False
            await self._announce(epoch)
            if await self.has_foreign_writers():  # After the snapshot and the announcement, or one could be missed.
                return False
            if not await self._has_missed(marker, snapshot.roots, missing):
                # Those that the catalog knows nothing of, too.
                for backup_id in await kept_ids(self._repository, self._collections):
                    await marker.mark(backup_id)
                return True
        _log.warning("%s: backups are deleted faster than they can be looked at; it goes on later", self._name.target)
        return False

    async def _has_missed(self, marker: Marker, roots: Sequence[Root], missing: set[str]) -> bool:
        """Mark the trees of ``roots``; tell whether one was deleted meanwhile. ``missing``: those known to be gone."""
        has_missed = False
        for root in roots:
            if await marker.mark(root.backup_id) or not root.is_expected:
                continue
            if root.backup_id not in missing:
                missing.add(root.backup_id)
                has_missed = True
            elif not root.is_deleting:
                raise CorruptObject(
                    f"{layout.manifest(root.backup_id)} is lost: nothing is collected before it is there again or the "
                    "backup is deleted"
                )
        return has_missed

    async def _announce(self, epoch: int) -> None:
        """Store what is condemned, for those who begin to write here now. What a full target cannot take is reprieved.

        The next collection condemns it again, and has the room that this one makes.
        """
        catalog_id = await self._collections.catalog_id()
        number = 0
        async for page in self._collections.condemned(self._name):
            packs = [one for one in page if one.kind is CondemnedKind.PACK]
            if not packs:
                continue
            body = condemned.encode(Condemnation(catalog_id, epoch, [one.pack_id for one in packs]))
            try:
                await self._put_condemned(layout.condemned(catalog_id, number), body, layout.spare(catalog_id))
            except QuotaExceeded:
                if number == 0 or any(one.is_going for one in packs):
                    raise
                await self._collections.reprieve(self._name, packs)
            else:
                number += 1

    async def _put_condemned(self, key: str, body: bytes, spare: str) -> None:
        try:
            await self._target.put(key, body)
        except QuotaExceeded:
            await self._target.delete(spare)
            await self._target.put(key, body)

    async def _withdraw(self) -> None:
        catalog_id = await self._collections.catalog_id()
        if announced := [info.key async for info in self._target.list(f"{layout.CONDEMNED}{catalog_id}/")]:
            with suppress(PermissionDenied):  # Locked: who reads it relies on less than he could.
                await self._target.delete_many(announced)
        await keep_spare(self._target, catalog_id)

    async def _carry_out(self, marks: Marks) -> None:
        compactor = Compactor(self._repository, marks, self._resources.workers, self._resources.budget())
        async for page in self._collections.condemned(self._name):
            fates = await self._resources.workers.run(self._fates, page, marks)
            await self._collections.reprieve(self._name, fates[Fate.REPRIEVED])
            spared = sum(one.kind is CondemnedKind.PACK for one in fates[Fate.REPRIEVED])
            self._tally.add(reprieved=spared)
            await self._delete(await self._collections.take(self._name, fates[Fate.DELETED]))
            await self._compact(compactor, fates[Fate.COMPACTED])

    def _fates(self, page: Sequence[Condemned], marks: Marks) -> dict[Fate, list[Condemned]]:
        fates: dict[Fate, list[Condemned]] = {fate: [] for fate in Fate}
        for one in page:
            fates[last_judgement(one, marks, live_share_min=self._live_share_min)].append(one)
        return fates

    async def _delete(self, gone: Sequence[Condemned]) -> None:
        if not gone:
            return
        await self._target.delete_many([_key(one) for one in gone])
        packs = [one for one in gone if one.kind is CondemnedKind.PACK]
        self._tally.add(
            deleted=len(packs),
            deleted_forwards=len(gone) - len(packs),
            freed_bytes=sum(one.size_bytes for one in gone),
        )
        for one in gone:
            _log.info("%s: %s is deleted: %s, %d bytes", self._name.target, _key(one), one.reason, one.size_bytes)
        await self._collections.forget(self._name, gone)

    async def _compact(self, compactor: Compactor, packs: Sequence[Condemned]) -> None:
        """Move what lives, say where it is, and only then delete the packs."""
        for group in compactor.groups(packs):
            moved = await compactor.move([one.pack_id for one in group])
            damaged = [one for one in group if one.pack_id in moved.damaged]
            await self._collections.reprieve(self._name, damaged)  # Somebody may yet repair it.
            self._tally.add(reprieved=len(damaged))
            whole = [one for one in group if one.pack_id not in moved.damaged]
            taken = await self._collections.take(self._name, whole)
            # Before anybody needs to know: a listing may miss the forwards, and show the packs for long.
            await self._collections.note_moved(self._name, [one.pack_id for one in taken])
            await compactor.store_forwards([one.pack_id for one in taken], moved)
            await self._delete(taken)
            await self._index(moved.entries)
            self._tally.add(compacted=len(taken), moved_bytes=moved.stored_bytes, freed_bytes=-moved.stored_bytes)

    async def _index(self, entries: Sequence[tuple[bytes, Sequence[PackEntry]]]) -> None:
        index = await self._resources.repositories.index(self._repository, [self._name.target])
        for pack_id, inside in entries:
            await self._resources.workers.run(index.add, pack_id, inside)


def _key(one: Condemned) -> str:
    return layout.pack(one.pack_id) if one.kind is CondemnedKind.PACK else layout.forward(one.pack_id)
