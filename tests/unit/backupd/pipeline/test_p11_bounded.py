"""P11: memory is bounded by the budget; not by the volume's size, the number of threads or a slow target."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

import pytest

from backupd.model import Statistics
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.room import CHUNK_PACK_SIZE_BYTES, NODE_PACK_SIZE_BYTES
from backupd.pipeline.workers import Workers
from backupd.repository.manifest import Manifest
from backupd.simulation.loop import run_simulated
from chunker.extents import Extent
from chunker.sources.memory import MemoryVolume
from targets.base import Body, Target
from targets.memory import MemoryTarget
from targets.wrappers.faults import Effect, Fault, Faults
from tests.support.rig import BUDGET_BYTES, rig

KIB, MIB, GIB = 1024, 1024**2, 1024**3
CHUNK = 64 * KIB


class GatedTarget(MemoryTarget):
    """Stores no pack before the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        if key.startswith("packs/"):
            await self.gate.wait()
        await super().put(key, body, if_absent=if_absent)


def test_p11_bounded_a_target_that_takes_nothing_stops_the_reading() -> None:
    async def scenario() -> None:
        target, volume = GatedTarget(), MemoryVolume(64 * MIB, seed=1)
        async with rig(target=target) as made, asyncio.TaskGroup() as group:
            backup = group.create_task(made.back_up(volume.open()))
            await asyncio.sleep(60)  # Everything that can happen has happened.
            assert made.budget.used_bytes <= BUDGET_BYTES
            assert 0 < volume.reads.bytes <= BUDGET_BYTES
            target.gate.set()
            await backup
            assert volume.reads.bytes == 64 * MIB

    run_simulated(scenario(), seed=1)


def test_p11_bounded_a_slow_target_is_as_fast_as_it_is() -> None:
    def slow(inner: Target) -> Target:
        return Faults(inner, [Fault(effect=Effect.LATENCY, latency_s=100.0)])

    async def scenario() -> None:
        volume = MemoryVolume(64 * MIB, seed=1)
        async with rig(wrap=slow) as made:
            await made.back_up(volume.open())
            assert made.budget.used_bytes_max <= BUDGET_BYTES
            assert asyncio.get_running_loop().time() > 4 * 100

    run_simulated(scenario(), seed=1)


def least_budget(chunk_size: int) -> int:
    """Return what an open pack of either kind and one span take."""
    span_chunks = max(1, 2 * MIB // chunk_size)
    return CHUNK_PACK_SIZE_BYTES + NODE_PACK_SIZE_BYTES + 2 * span_chunks * (chunk_size + KIB)


@pytest.mark.parametrize("chunk_size", [64 * KIB, 256 * KIB, MIB, 4 * MIB])
@pytest.mark.parametrize("threads", [1, 4, 64])
@pytest.mark.parametrize("spare", [0, 12 * MIB, 200 * MIB])
def test_p11_bounded_any_number_of_threads_gets_along_with_any_budget(
    chunk_size: int, threads: int, spare: int, tmp_path: Path
) -> None:
    async def scenario() -> None:
        volume = MemoryVolume(24 * MIB + 512, seed=1)
        volume.discard(3 * MIB, 2 * MIB)
        async with rig(chunk_size_bytes=chunk_size) as made:
            made.workers = Workers(threads)
            made.budget = ByteBudget(least_budget(chunk_size) + spare)
            manifest, _ = await made.back_up(volume.open())
            made.budget = ByteBudget(max(made.budget.limit_bytes, 32 * MIB))
            await made.verify(manifest)
            restored = await made.restore(manifest, tmp_path / "restored")
            made.workers.close()
            assert made.budget.used_bytes_max <= made.budget.limit_bytes
        point, content = volume.open(), bytearray(volume.size_bytes)
        point.read_into(0, memoryview(content))
        assert restored == content

    run_simulated(scenario(), seed=1)


async def test_p11_bounded_a_budget_too_small_is_refused() -> None:
    async with rig() as made:
        made.budget = ByteBudget(8 * MIB)
        with pytest.raises(ValueError, match=f"a budget of {8 * MIB} bytes, expected at least "):
            await made.back_up(MemoryVolume(MIB).open())


class Counter:
    """A destination that keeps nothing but the sum of what it was given."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.written_bytes = 0
        self.zeroed_bytes = 0

    def write(self, offset_bytes: int, buffer: memoryview) -> None:
        self.written_bytes += buffer.nbytes

    def zero(self, extent: Extent) -> None:
        self.zeroed_bytes += extent.length_bytes

    def finish(self) -> None:
        assert self.written_bytes + self.zeroed_bytes == self.size_bytes

    def abort(self) -> None:
        """Keep the sums."""


def scattered(size_bytes: int, *, count: int = 200) -> MemoryVolume:
    """Return a volume with so many chunks of data, all over it."""
    volume = MemoryVolume(size_bytes)
    for number in range(count):
        volume.write(number * (size_bytes // count) // CHUNK * CHUNK, (number + 1).to_bytes(2, "big") * (CHUNK // 2))
    return volume


async def peak_of_a_round_trip(size_bytes: int) -> tuple[int, Statistics, Manifest]:
    """Return the most memory that a backup, a verification and a restore took, buffers aside."""
    point = scattered(size_bytes).open()
    async with rig(chunk_size_bytes=CHUNK) as made:
        tracemalloc.start()
        try:
            manifest, statistics = await made.back_up(point)
            await made.verify(manifest)
            await made.restore_to(manifest, Counter(size_bytes))
            return tracemalloc.get_traced_memory()[1], statistics, manifest
        finally:
            tracemalloc.stop()
            assert made.budget.used_bytes_max <= BUDGET_BYTES


async def test_p11_bounded_a_volume_of_50_gib_takes_no_more_memory_than_a_small_one() -> None:
    await peak_of_a_round_trip(200 * CHUNK)  # What is loaded and cached once is no part of it.
    small, dense, _ = await peak_of_a_round_trip(200 * CHUNK)
    large, sparse, manifest = await peak_of_a_round_trip(50 * GIB)
    assert (dense.new_chunks, sparse.new_chunks) == (200, 200)
    assert (dense.nodes, sparse.nodes) == (1, 200 + 4 + 1)
    assert manifest.tree.height == 3
    # 128 nodes of up to 28 KiB are cached, and 200 nodes lie on the target, which is in memory too.
    assert large - small < 4 * MIB
