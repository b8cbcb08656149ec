"""Object lock: what kept backups need is locked for longer, and what is locked still is not condemned.

The target has the time of the last round, so that a catalog which was rebuilt knows it, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from backupd.collection import Condemned, CondemnedKind
from backupd.errors import CorruptObject
from backupd.jobs.late_manifests import kept_ids
from backupd.jobs.resources import Resources
from backupd.model import RepositoryName
from backupd.pipeline.mark import Marker
from backupd.pipeline.marks import Marks
from backupd.pipeline.progress import ProgressMeter
from backupd.repository import layout
from backupd.repository.repository import Repository
from backupd.repository.scratch import remove
from targets.base import LocksObjects
from targets.errors import ObjectNotFound, TimedOut

_ROUNDS_PER_LOCK = 3  # So that two may fail, or be late, before anything is open.
_KEYS_AT_A_TIME = 256
_TIMEOUT_S = 300.0
_log = logging.getLogger(__name__)


class Locks:
    """``lockers`` are the drivers of the targets that can lock; nobody repeats for them what fails."""

    def __init__(self, resources: Resources, lockers: Mapping[str, LocksObjects]) -> None:
        self._resources = resources
        self._lockers = lockers

    async def free(self, name: RepositoryName, dead: list[Condemned]) -> list[Condemned]:
        """Return those of ``dead`` that can be deleted by now."""
        locker = self._locker(name)
        if locker is None or not dead:
            return dead
        keys = {_whole(name, _key(one)): one for one in dead}
        async with _deadline(name):
            locked = await locker.locked([*keys])
        return [one for key, one in keys.items() if key not in locked]

    async def extend(self, name: RepositoryName, repository: Repository, path: Path, progress: ProgressMeter) -> None:
        """Lock what kept backups need for longer, if it is time.

        A backup whose deletion was requested, and refused, is not kept: its lock runs out. ``path`` is for what is
        seen meanwhile.
        """
        locker = self._locker(name)
        started_at = self._resources.clock.now()
        if locker is None or not await self._is_due(repository, locker.lock_s or 0.0, started_at):
            return
        count = 0
        async for keys in _batches(self._needed(repository, path, progress)):
            async with _deadline(name):
                await locker.lock([_whole(name, key) for key in keys])
            count += len(keys)
        await repository.target.put(await self._round_key(), started_at.isoformat().encode())
        _log.info("%s/%s: %d objects are locked for longer", name.target, name.project, count)

    def _locker(self, name: RepositoryName) -> LocksObjects | None:
        locker = self._lockers.get(name.target)
        return None if locker is None or locker.lock_s is None else locker

    async def _is_due(self, repository: Repository, lock_s: float, now: datetime) -> bool:
        try:
            last = datetime.fromisoformat((await repository.target.get(await self._round_key())).decode("ascii"))
            return not timedelta() <= now - last < timedelta(seconds=lock_s / _ROUNDS_PER_LOCK)
        except (ObjectNotFound, ValueError, TypeError):
            return True

    async def _round_key(self) -> str:
        return layout.locked(await self._resources.catalog.collections.catalog_id())

    async def _needed(self, repository: Repository, path: Path, progress: ProgressMeter) -> AsyncIterator[str]:
        """Yield the keys of all that kept backups need; of everything where nobody knows what they need."""
        workers = self._resources.workers
        let_go = {one.backup_id for one in await self._resources.catalog.failed_deletions()}
        await workers.run(remove, path)
        marks = await workers.run(Marks, path)
        try:
            yield layout.REPOSITORY
            marker = Marker(repository, marks, workers, progress)
            await marker.list_packs()
            async for _ in marker.list_forwards():
                pass
            is_known = True
            for backup_id in await kept_ids(repository, self._resources.catalog.collections):
                if backup_id in let_go:
                    continue
                yield layout.manifest(backup_id)
                try:
                    if is_known:
                        await marker.mark(backup_id)
                except CorruptObject as error:
                    is_known = False
                    _log.warning("every pack is locked for longer: %s", error)
            async for key in self._marked(marks, is_known=is_known):
                yield key
        finally:
            await workers.run(marks.close)
            await workers.run(remove, path)

    async def _marked(self, marks: Marks, *, is_known: bool) -> AsyncIterator[str]:
        """Yield the keys of the packs and forwards that are needed; of all packs, unless that ``is_known``."""
        workers = self._resources.workers
        number = 0
        while packs := await workers.run(partial(marks.packs, after=number, limit=_KEYS_AT_A_TIME)):
            number = packs[-1].number
            for pack in packs:
                if pack.live_bytes or not is_known:
                    yield layout.pack(pack.id)
        last = b""
        while forwards := await workers.run(partial(marks.forwards, is_needed=True, after=last, limit=_KEYS_AT_A_TIME)):
            last = forwards[-1][0]
            for pack_id, _ in forwards:
                yield layout.forward(pack_id)


@asynccontextmanager
async def _deadline(name: RepositoryName) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            yield
    except TimeoutError as error:
        raise TimedOut(f"target {name.target}: locks of objects: no answer within {_TIMEOUT_S:.0f} s") from error


async def _batches(keys: AsyncIterator[str]) -> AsyncIterator[Sequence[str]]:
    batch: list[str] = []
    async for key in keys:
        batch.append(key)
        if len(batch) >= _KEYS_AT_A_TIME:
            yield batch
            batch = []
    if batch:
        yield batch


def _key(one: Condemned) -> str:
    return layout.pack(one.pack_id) if one.kind is CondemnedKind.PACK else layout.forward(one.pack_id)


def _whole(name: RepositoryName, key: str) -> str:
    return layout.prefix(name.project, is_encrypted=name.is_encrypted) + key
