from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.pack_ids import PackIds
from backupd.pipeline.packer import Packer
from chunker.digest import Kind
from chunker.pack import PackEntry, read_footer
from targets.errors import Unavailable

PACK_BYTES = 1000
FRAME = memoryview(bytes(range(200)) + bytes(100))  # Two of them and their footer fill a pack.
ID = bytes(32)


@dataclass(slots=True)
class Store:
    """Keeps packs; each waits at ``gate`` to be stored, and fails if there is an ``error``."""

    packs: dict[bytes, bytes] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    storing: int = 0
    storing_max: int = 0
    recorded: list[Sequence[bytes]] = field(default_factory=list)

    async def record(self, pack_ids: Sequence[bytes]) -> None:
        assert not any(pack_id in ids for pack_id in pack_ids for ids in self.recorded)
        self.recorded.append(pack_ids)

    async def __call__(self, pack_id: bytes, body: memoryview, entries: Sequence[PackEntry]) -> None:
        self.storing += 1
        self.storing_max = max(self.storing_max, self.storing)
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            assert any(pack_id in ids for ids in self.recorded)
            assert read_footer(pack_id, len(body), body) == list(entries)
            self.packs[pack_id] = bytes(body)
        finally:
            self.storing -= 1


@pytest.fixture
def store() -> Store:
    return Store()


def make(store: Store, *, uploads_max: int = 1, limit_bytes: int = 100 * PACK_BYTES) -> tuple[Packer, ByteBudget]:
    budget = ByteBudget(limit_bytes)
    return Packer(budget, PackIds(store.record), store, pack_size_bytes=PACK_BYTES, uploads_max=uploads_max), budget


@asynccontextmanager
async def uploading(packer: Packer) -> AsyncIterator[None]:
    """Use a packer as the pipeline does."""
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(packer.uploads_max):
                group.create_task(packer.upload())
            yield
            await packer.finish()
    finally:
        packer.abandon()


async def append(packer: Packer, count: int) -> None:
    for _ in range(count):
        await packer.append(Kind.CHUNK, ID, FRAME)


async def test_pointers_lead_to_the_frames(store: Store) -> None:
    packer, _ = make(store)
    store.gate.set()
    async with uploading(packer):
        pointers = [await packer.append(Kind.CHUNK, ID, FRAME[size:]) for size in range(10)]
    for size, pointer in enumerate(pointers):
        frame = store.packs[pointer.pack][pointer.offset : pointer.offset + pointer.length]
        assert frame == FRAME[size:]


async def test_a_pack_is_sealed_when_it_is_full_and_at_the_end(store: Store) -> None:
    packer, budget = make(store)
    store.gate.set()
    async with uploading(packer):
        await append(packer, 5)
    assert sorted(len(body) for body in store.packs.values()) == [300 + 84, 600 + 128, 600 + 128]
    assert (packer.stored_packs, packer.stored_bytes) == (3, sum(map(len, store.packs.values())))
    assert budget.used_bytes == 0


async def test_ids_are_recorded_many_at_a_time(store: Store) -> None:
    packer, _ = make(store)
    store.gate.set()
    async with uploading(packer):
        await append(packer, 2 * 17)
    assert [len(ids) for ids in store.recorded] == [16, 16]


async def test_nothing_appended_is_nothing_stored(store: Store) -> None:
    packer, _ = make(store)
    async with uploading(packer):
        pass
    assert store.packs == {}


async def test_as_many_upload_at_a_time_as_are_allowed(store: Store) -> None:
    packer, _ = make(store, uploads_max=3)
    async with asyncio.timeout(10), uploading(packer):
        await append(packer, 2 * 5)  # One open, one waiting to be uploaded, three on their way.
        assert store.storing == 3
        store.gate.set()
        await append(packer, 20)
    assert store.storing_max == 3
    assert len(store.packs) == 15


async def test_full_packs_wait_for_the_target(store: Store) -> None:
    packer, budget = make(store)
    async with asyncio.timeout(10), uploading(packer), asyncio.TaskGroup() as group:
        appending = group.create_task(append(packer, 100))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not appending.done()
        assert budget.used_bytes == 3 * PACK_BYTES
        store.gate.set()


async def test_a_failed_upload_ends_all_and_gives_every_buffer_back(store: Store) -> None:
    packer, budget = make(store, uploads_max=2)
    store.error = Unavailable("down")
    store.gate.set()
    with pytest.raises(ExceptionGroup) as caught:
        async with uploading(packer):
            await append(packer, 100)
    assert caught.value.subgroup(Unavailable) is not None
    assert budget.used_bytes == 0


async def test_cancelling_gives_every_buffer_back(store: Store) -> None:
    packer, budget = make(store, uploads_max=2)

    async def back_up() -> None:
        async with uploading(packer):
            await append(packer, 100)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(back_up())
        for _ in range(100):
            await asyncio.sleep(0)
        assert budget.used_bytes == 4 * PACK_BYTES
        task.cancel()
    assert (task.cancelled(), budget.used_bytes, store.packs) == (True, 0, {})
