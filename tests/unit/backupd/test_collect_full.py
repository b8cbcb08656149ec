"""A target that takes nothing more is collected all the same: it is then that somebody needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backupd.collection import Condemned, CondemnedKind, Reason
from backupd.repository import layout
from targets.base import Body
from targets.errors import QuotaExceeded
from targets.memory import MemoryTarget
from tests.support.yard import Yard, yard


class _Filling(MemoryTarget):
    """Takes no byte more than it has when it ``is_full``, nor ever an object named in ``refused``."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = ""
        self._bytes_max: int | None = None

    async def fill(self) -> None:
        self._bytes_max = await self._stored_bytes()

    def grow(self) -> None:
        self._bytes_max = None

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        is_too_much = self._bytes_max is not None and await self._stored_bytes() + len(body) > self._bytes_max
        if is_too_much or (self.refused and self.refused in key):
            raise QuotaExceeded(f"put {key}: no space left")
        await super().put(key, body, if_absent=if_absent)

    async def _stored_bytes(self) -> int:
        return sum([info.size_bytes async for info in self.list("")])


@pytest.fixture
def store() -> _Filling:
    return _Filling()


@pytest.fixture
async def place(store: _Filling, tmp_path: Path) -> AsyncIterator[Yard]:
    async with yard(tmp_path, stores={"local": store}) as made:
        yield made


async def test_a_full_target_is_freed_of_what_is_dead(place: Yard, store: _Filling) -> None:
    await place.back_up(await place.add_disk(20, seed=1))
    await place.delete(await place.back_up(await place.add_disk(20, seed=2)))
    await store.fill()
    assert (await place.collect()).deleted == 2
    await place.check()


async def test_a_daemon_that_starts_with_a_full_target_frees_it(place: Yard, store: _Filling, tmp_path: Path) -> None:
    await place.delete(await place.back_up(await place.add_disk(20, seed=2)))
    await store.fill()
    async with yard(tmp_path, stores={"local": store}) as again:
        assert (await again.collect()).deleted == 2


async def test_the_room_that_a_full_target_needs_is_kept_again(place: Yard, store: _Filling) -> None:
    for seed in (1, 2):
        await place.delete(await place.back_up(await place.add_disk(20, seed=seed)))
        await store.fill()
        assert (await place.collect()).deleted == 2
        store.grow()


async def test_p2_keep_what_a_full_target_cannot_be_told_is_left_for_the_next_collection(
    place: Yard, store: _Filling
) -> None:
    await place.back_up(await place.add_disk(1, seed=1))
    collections = place.catalog.collections
    repository = await place.repository()
    dead = [number.to_bytes(16, "big") for number in range(1100)]
    for pack_id in (dead[0], dead[-1]):
        await repository.put_pack(pack_id, memoryview(b"dead"))
    await collections.condemn(place.name, [Condemned(CondemnedKind.PACK, one, Reason.DEAD, 4) for one in dead])
    await collections.seal(place.name)
    store.refused = f"{await collections.catalog_id()}/1"
    await place.collect(sweep_only=True)
    assert not await repository.has_pack(dead[0])
    assert await repository.has_pack(dead[-1])
    store.refused = ""
    assert (await place.collect()).deleted == 1
    assert not await place.keys(layout.CONDEMNED)
    await place.check()
