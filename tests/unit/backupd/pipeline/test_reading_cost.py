"""What reading back costs, whatever the machine: counted in trips to threads, requests, writes and memory."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

import pytest

from backupd.pipeline import walk
from backupd.repository import layout
from backupd.repository.manifest import Manifest
from chunker.extents import Extent
from chunker.frame import FrameReader
from chunker.node import Pointer
from chunker.sources.memory import MemoryVolume
from tests.support.counted_workers import THREADS, CountedWorkers
from tests.support.rig import Rig, rig
from tests.support.seen_memory import memory_given_to

P = ParamSpec("P")
T = TypeVar("T")
KIB, MIB = 1024, 1024**2
CHUNK = 256 * KIB
SPAN, RUN = 8 * MIB, 4 * MIB
SIZE = 32 * MIB
SPANS = SIZE // SPAN
TREE_TRIPS = 1  # One node holds the 128 pointers.


class SlowWorkers(CountedWorkers):
    """No thread ends the first span that it has before there is one more than all threads have."""

    def __init__(self) -> None:
        super().__init__()
        self._is_one_waiting = threading.Event()

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        def slow() -> T:
            assert number <= TREE_TRIPS or self._is_one_waiting.wait(30), "no span was waiting"
            return work(*args, **kwargs)

        number = self.trips + 1
        if number > TREE_TRIPS + THREADS:
            self._is_one_waiting.set()
        return super().submit(slow)


class Runs:
    """A destination that remembers where and how much was written."""

    def __init__(self) -> None:
        self.size_bytes = SIZE
        self.writes: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    def write(self, offset_bytes: int, buffer: memoryview) -> None:
        with self._lock:
            self.writes.append((offset_bytes, buffer.nbytes))

    def zero(self, extent: Extent) -> None:
        raise AssertionError(f"{extent} holds data")

    def finish(self) -> None:
        """Nothing is kept."""

    def abort(self) -> None:
        """Nothing was made."""


_Given = tuple[Rig, CountedWorkers, Manifest]


@asynccontextmanager
async def backed_up(
    make_workers: type[CountedWorkers] = CountedWorkers, volume: MemoryVolume | None = None
) -> AsyncIterator[_Given]:
    """Give a rig that holds a backup of a volume without a hole, and counts from here on."""
    async with rig(chunk_size_bytes=CHUNK) as made:
        manifest, _ = await made.back_up((volume or MemoryVolume(SIZE, seed=1)).open())
        made.observed.counters.operations.clear()
        made.budget.used_bytes_max = 0
        made.workers.close()
        made.workers = counted = make_workers()
        yield made, counted, manifest


async def test_a_verification_takes_each_span_to_a_thread_once() -> None:
    async with backed_up() as (made, workers, manifest):
        await made.verify(manifest)
        assert workers.trips == SPANS + TREE_TRIPS


async def test_a_restore_takes_each_span_to_a_thread_once() -> None:
    async with backed_up() as (made, workers, manifest):
        await made.restore_to(manifest, Runs())
        assert workers.trips == SPANS + TREE_TRIPS + 1  # The last one finishes the destination.


def compressible() -> MemoryVolume:
    """Return a volume of different chunks, each of which compresses to a fourth."""
    volume = MemoryVolume(SIZE)
    for offset in range(0, SIZE, CHUNK):
        volume.write(offset, random.Random(offset).randbytes(CHUNK // 4) + b"x" * (CHUNK - CHUNK // 4))
    return volume


async def test_what_is_well_compressed_takes_fewer_trips_and_is_written_in_the_same_runs() -> None:
    async with backed_up(volume=compressible()) as (made, workers, manifest):
        destination = Runs()
        await made.restore_to(manifest, destination)
        assert workers.trips <= SPANS // 2 + TREE_TRIPS + 1
        assert sorted(destination.writes) == [(offset, RUN) for offset in range(0, SIZE, RUN)]
        assert made.budget.used_bytes_max <= THREADS * RUN + 3 * (SPAN + 64 * KIB)


async def test_a_thread_that_is_done_finds_its_next_span_waiting() -> None:
    async with backed_up(SlowWorkers) as (made, _, manifest):
        await made.verify(manifest)


async def test_a_span_is_one_request_for_each_pack_that_it_touches() -> None:
    async with backed_up() as (made, _, manifest):
        packs = len([found async for found in made.target.list(layout.PACKS)])
        await made.restore_to(manifest, Runs())
        assert made.observed.counters.requests <= SPANS + packs
        made.observed.counters.operations.clear()
        await made.verify(manifest)
        # Each footer besides: its place, then itself.
        assert made.observed.counters.operations["head"] == packs
        assert made.observed.counters.operations["get"] <= SPANS + 2 * packs


async def test_a_chunk_is_decoded_in_memory_that_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = memory_given_to(monkeypatch, FrameReader, "decode")
    async with backed_up() as (made, _, manifest):
        await made.restore_to(manifest, Runs())
        assert 0 < len(decoded) <= 2 * (THREADS + SPANS)  # Of frames and of runs, and of a node.


async def test_a_restore_writes_aligned_runs_of_4_mib() -> None:
    async with backed_up() as (made, _, manifest):
        destination = Runs()
        await made.restore_to(manifest, destination)
        assert sorted(destination.writes) == [(offset, RUN) for offset in range(0, SIZE, RUN)]


async def test_a_verification_keeps_no_more_plain_bytes_than_a_chunk_in_each_thread() -> None:
    async with backed_up() as (made, _, manifest):
        await made.verify(manifest)
        frames_max = SPAN + 64 * KIB
        assert made.budget.used_bytes_max <= THREADS * CHUNK + 3 * frames_max


@pytest.mark.parametrize(
    ("indexes", "expected"),
    [
        ([], []),
        ([5], [range(5, 6)]),
        ([0, 1, 2, 3], [range(4)]),
        ([3, 4, 5], [range(3, 4), range(4, 6)]),
        ([0, 2, 3, 7, 8], [range(1), range(2, 4), range(7, 8), range(8, 9)]),
    ],
)
def test_runs_are_neighbours_cut_at_multiples(indexes: list[int], expected: list[range]) -> None:
    pointer = Pointer(b"i" * 32, b"p" * 16, 0, 1)
    assert list(walk.runs(dict.fromkeys(indexes, pointer), chunks_max=4)) == expected
