"""A collection that dies before each write to the target and each transaction, which is also behind the last one."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from backupd.model import Backup
from backupd.repository import layout
from targets.base import Body, ObjectInfo, Target
from targets.memory import MemoryTarget
from tests.support.builders import PROJECT
from tests.support.yard import CHUNK_BYTES, Yard, yard


class Died(BaseException):
    """What ends a daemon here: nothing in it may catch it and go on."""


class Steps:
    """Counts steps, and dies at the last."""

    def __init__(self) -> None:
        self.last: int | None = None
        self.count = 0

    def next(self) -> None:
        self.count += 1
        if self.count == self.last:
            raise Died


class Mortal:
    """A target whose daemon may die at each change."""

    def __init__(self, inner: Target, steps: Steps) -> None:
        self._inner = inner
        self._steps = steps
        self.capabilities = inner.capabilities

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        self._steps.next()
        await self._inner.put(key, body, if_absent=if_absent)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        return await self._inner.get(key, offset=offset, length=length)

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        await self._inner.get_into(key, buffer, offset=offset)

    async def head(self, key: str) -> ObjectInfo:
        return await self._inner.head(key)

    async def delete(self, key: str) -> None:
        await self.delete_many([key])

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete one by one: what dies in between leaves some."""
        for key in keys:
            self._steps.next()
            await self._inner.delete(key)

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        return self._inner.list(prefix)

    async def aclose(self) -> None:
        await self._inner.aclose()


def mortal_catalog(place: Yard, steps: Steps) -> None:
    """Let each transaction of a collection be a step."""
    run = place.catalog.collections._run

    async def counted(work: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        steps.next()
        return await run(work, *arguments, **keywords)

    place.catalog.collections._run = counted


async def stored(target: Target) -> dict[str, bytes]:
    return {info.key: await target.get(info.key) async for info in target.list("")}


class Scene:
    """A repository with dead packs, one that is mostly dead, a forward, and two backups to be kept."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._saved = root / "saved"
        self._live = root / "live"
        self._objects: dict[str, bytes] = {}
        self._disks: Any = None

    async def make(self) -> None:
        self._live.mkdir()
        store = MemoryTarget()
        async with yard(self._live, stores={"local": store}) as place:
            disk = await place.add_disk(12, seed=1)
            first = await place.back_up(disk)
            disk.memory.write(4 * CHUNK_BYTES, bytes([1]) * 8 * CHUNK_BYTES)
            second = await place.back_up(disk, first)
            await place.delete(first)
            assert (await place.collect()).compacted
            disk.memory.write(2 * CHUNK_BYTES, bytes([2]) * 2 * CHUNK_BYTES)
            await place.back_up(disk, second)
            await place.delete(second)
            await place.back_up(await place.add_disk(5, seed=3))
            await place.delete(await place.back_up(await place.add_disk(5, seed=4)))
            self._disks = dict(place.disks)
        self._objects = await stored(store)
        shutil.copytree(self._live, self._saved)

    async def play(self, last: int) -> bool:
        """Die at a step of the next collection, go on, and check; tell whether there was such a step."""
        shutil.rmtree(self._live)
        shutil.copytree(self._saved, self._live)
        store, steps = MemoryTarget(), Steps()
        for key, body in self._objects.items():
            await store.put(key, body)
        async with yard(self._live, stores={"local": store}, wrap=lambda inner: Mortal(inner, steps)) as place:
            place.disks.update(self._disks)
            job = await place.request_collection()
            claimed = await place.claim_of(job)
            mortal_catalog(place, steps)
            steps.last = last
            has_died = await _dies(place.bodies[claimed.kind](claimed, place.run_of(claimed)))
        async with yard(self._live, stores={"local": store}) as place:
            place.disks.update(self._disks)
            await place.check()
            await place.catalog.release_leases("worker")
            again = await place.claim_of(job)
            await place.do(again)
            await place.collect()
            assert not await place.catalog.collections.pending()
            await self._check_clean(place)
        return has_died

    async def _check_clean(self, place: Yard) -> None:
        kept: list[Backup] = await place.catalog.backups(PROJECT)
        await place.check()
        assert await place.keys(layout.CONDEMNED) == set()
        for backup in kept:
            await place.request_delete(backup)  # Behind the back of the disks, which are those of the next run, too.
            await place.do()
        await place.collect()
        assert await place.keys("") == {layout.REPOSITORY, *await place.keys(layout.WRITERS)}


async def _dies(doing: Awaitable[None]) -> bool:
    """Tell whether it died, in a task of its own or not; what else goes wrong is raised."""
    has_died = False
    try:
        await doing
    except* Died:
        has_died = True
    return has_died


SHARES = 6


@pytest.mark.parametrize("share", range(SHARES))
async def test_p2_keep_a_collection_that_dies_at_any_step_goes_on(tmp_path: Path, share: int) -> None:
    scene = Scene(tmp_path)
    await scene.make()
    last = 1 + share
    while await scene.play(last):
        last += SHARES
    assert last > 20
