"""What backing up costs, whatever the machine: trips to threads, turns of the loop, reads, copies and bytes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextvars import Context
from typing import ParamSpec, TypeVar, TypeVarTuple, Unpack

import pytest

from backupd.model import Statistics
from backupd.repository import layout
from chunker.frame import FrameWriter
from chunker.pack import PackWriter
from chunker.sources.base import PointInTime
from chunker.sources.memory import MemoryVolume
from targets.base import Body
from targets.memory import MemoryTarget
from tests.support.counted_workers import THREADS, CountedWorkers
from tests.support.rig import CountedPoint, Rig, changed, rig
from tests.support.seen_memory import memory_given_to

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
MIB = 1024**2
CHUNK = 256 * 1024
SPAN = 2 * MIB
SIZE = 64 * MIB
CHUNKS, SPANS = SIZE // CHUNK, SIZE // SPAN
PACK = 8 * MIB


class CountedLoop(asyncio.SelectorEventLoop):
    """Counts what is scheduled: each resumed await is one."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduled = 0

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self.scheduled += 1
        return super().call_soon(callback, *args, context=context)


class SeenTarget(MemoryTarget):
    """Remembers what the bodies of packs were made of."""

    def __init__(self) -> None:
        super().__init__()
        self.pack_sizes: list[int] = []
        self.pack_memory: set[int] = set()

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        if key.startswith(layout.PACKS):
            view = memoryview(body)
            self.pack_sizes.append(view.nbytes)
            self.pack_memory.add(id(view.obj))
        await super().put(key, body, if_absent=if_absent)


class SeenPoint(CountedPoint):
    """Remembers which memory was read into."""

    def __init__(self, inner: PointInTime) -> None:
        super().__init__(inner)
        self.memory: set[int] = set()

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        self.memory.add(id(buffer.obj))
        super().read_into(offset_bytes, buffer)


async def backed_up(made: Rig) -> tuple[SeenPoint, Statistics]:
    """Back up a volume without a hole that does not compress."""
    point = SeenPoint(MemoryVolume(SIZE, seed=1).open())
    _, statistics = await made.back_up(point)
    return point, statistics


async def test_a_backup_takes_each_span_to_a_thread_once() -> None:
    async with rig(chunk_size_bytes=CHUNK) as made:
        made.workers.close()
        made.workers = workers = CountedWorkers()
        _, statistics = await backed_up(made)
        assert workers.trips <= SPANS + statistics.packs + statistics.nodes  # Nodes are sealed, packs are recorded.


def test_the_loop_has_a_few_turns_for_a_span_and_none_for_a_chunk() -> None:
    async def scenario() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, CountedLoop)
        async with rig(chunk_size_bytes=CHUNK) as made:
            before = loop.scheduled
            await backed_up(made)
            return loop.scheduled - before

    with asyncio.Runner(loop_factory=CountedLoop) as runner:
        assert runner.run(scenario()) <= 6 * SPANS


async def test_a_span_is_read_by_one_call_into_memory_that_is_used_again() -> None:
    async with rig(chunk_size_bytes=CHUNK) as made:
        point, _ = await backed_up(made)
        assert (point.read_calls, point.read_bytes) == (SPANS, SIZE)
        assert len(point.memory) <= THREADS


async def test_a_chunk_is_encoded_and_packed_from_memory_that_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = memory_given_to(monkeypatch, FrameWriter, "encode")
    packed = memory_given_to(monkeypatch, PackWriter, "append")
    async with rig(chunk_size_bytes=CHUNK) as made:
        await backed_up(made)
    assert 0 < len(packed) <= SPANS // 2
    assert 0 < len(encoded) <= SPANS // 2  # Of plain bytes and of frames.


async def test_packs_are_sent_from_memory_that_is_used_again() -> None:
    target = SeenTarget()
    async with rig(target=target, chunk_size_bytes=CHUNK) as made:
        await backed_up(made)
        assert len(target.pack_sizes) >= SIZE // PACK
        assert len(target.pack_memory) <= 4  # Of chunks: one that fills, two on their way; and one of nodes.


async def test_a_backup_sends_a_put_for_each_pack_and_two_more() -> None:
    async with rig(chunk_size_bytes=CHUNK) as made:
        before = made.observed.counters.operations["put"]
        _, statistics = await backed_up(made)
        puts = made.observed.counters.operations["put"] - before
        assert puts <= statistics.packs + 2  # The manifest and, the first time, what the repository says of itself.
        assert statistics.packs <= -(-statistics.stored_bytes // (PACK - SPAN)) + 1


async def test_a_chunk_costs_at_most_160_bytes_beside_its_own() -> None:
    async with rig(chunk_size_bytes=CHUNK) as made:
        before = made.observed.counters.bytes_out
        await backed_up(made)
        assert made.observed.counters.bytes_out - before - SIZE <= 160 * CHUNKS


async def test_an_increment_of_a_few_chunks_is_three_puts() -> None:
    async with rig(chunk_size_bytes=CHUNK) as made:
        volume = MemoryVolume(SIZE, seed=1)
        parent, _ = await made.back_up(volume.open())
        places = [number * SIZE // 8 for number in range(8)]
        for place in places:
            volume.write(place, random.Random(place).randbytes(CHUNK))
        before = made.observed.counters.operations["put"]
        point = CountedPoint(volume.open())
        await made.back_up(point, changed(*((place, CHUNK) for place in places), base=parent))
        assert made.observed.counters.operations["put"] - before == 3
        assert point.read_bytes == len(places) * CHUNK
