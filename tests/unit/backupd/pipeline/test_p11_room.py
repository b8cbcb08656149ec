"""P11: what compression takes is within the budget of a backup, at any level and for any size of chunks."""

from __future__ import annotations

import pytest

from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.room import CHUNK_PACK_SIZE_BYTES, NODE_PACK_SIZE_BYTES, STATE_BYTES_UNCOUNTED, Room, room_for
from backupd.type_rules import COMPRESSION_LEVEL_MAX
from chunker.digest import Kind
from chunker.frame import OVERHEAD_BYTES_MAX, FrameWriter, compression_state_bytes
from chunker.keys import RepositoryKeys
from chunker.sources.memory import MemoryVolume
from tests.support.rig import rig
from tests.support.volumes import guest_like_bytes

KIB, MIB = 1024, 1024**2
CHUNK_SIZES = [64 * KIB, 256 * KIB, MIB, 4 * MIB]
SPAN_SIZE = 2 * MIB
DEFAULT_BYTES = 40 * MIB  # Of a job: 80 MiB for two.


def span_chunks(chunk_size: int) -> int:
    return max(1, SPAN_SIZE // chunk_size)


def room(budget: int, chunk_size: int, level: int, threads: int) -> Room:
    return room_for(
        budget,
        chunk_size_bytes=chunk_size,
        span_chunks=span_chunks(chunk_size),
        compression_level=level,
        thread_count=threads,
    )


@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
@pytest.mark.parametrize("budget", [32 * MIB, DEFAULT_BYTES, 400 * MIB])
@pytest.mark.parametrize("threads", [1, 3, 64])
def test_p11_bounded_spans_and_compression_fit_the_budget_beside_an_open_pack_of_either_kind(
    chunk_size: int, budget: int, threads: int
) -> None:
    span_size = span_chunks(chunk_size) * (2 * chunk_size + OVERHEAD_BYTES_MAX)
    for level in range(COMPRESSION_LEVEL_MAX + 1):
        found = room(budget, chunk_size, level, threads)
        states = found.kits * (compression_state_bytes(level, found.tuned_for_bytes) - STATE_BYTES_UNCOUNTED)
        assert max(0, states) == found.state_bytes
        used = found.spans * span_size + found.state_bytes + CHUNK_PACK_SIZE_BYTES + NODE_PACK_SIZE_BYTES
        assert used <= budget
        assert 1 <= found.kits <= min(found.spans, threads)


@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_the_usual_levels_are_never_weakened(chunk_size: int) -> None:
    assert {room(32 * MIB, chunk_size, level, 64).tuned_for_bytes for level in range(6)} == {chunk_size}


def test_the_default_costs_no_thread_anything() -> None:
    assert room(DEFAULT_BYTES, 256 * KIB, 3, 5) == Room(6, 5, 256 * KIB, 0)


def test_a_high_level_has_fewer_kits_and_is_weakened_only_when_one_kit_does_not_fit() -> None:
    assert room(400 * MIB, 4 * MIB, 19, 8)[1:3] == (6, 4 * MIB)
    assert room(DEFAULT_BYTES, 4 * MIB, 19, 8)[:3] == (1, 1, MIB)


@pytest.mark.parametrize("tuned_for", CHUNK_SIZES)
@pytest.mark.parametrize("level", [0, 3, 9, 12, 19])
def test_p11_bounded_a_writer_takes_what_is_counted(level: int, tuned_for: int) -> None:
    plain = guest_like_bytes(256 * KIB) * 16
    keys = RepositoryKeys.generate()
    writer = FrameWriter(keys, compression_level=level, is_encrypted=False, tuned_for_bytes=tuned_for)
    out = memoryview(bytearray(len(plain) + OVERHEAD_BYTES_MAX))
    writer.encode(Kind.CHUNK, bytes(32), memoryview(plain), out)
    taken = writer._compressor.memory_size() if writer._compressor else 0
    assert taken == pytest.approx(compression_state_bytes(level, tuned_for), abs=4 * KIB)


async def test_p11_bounded_a_backup_holds_what_it_compresses_with_and_gives_it_back() -> None:
    class Watched(ByteBudget):
        used_by_nobody_else = 0

        async def acquire(self, size_bytes: int) -> memoryview:
            self.used_by_nobody_else = self.used_by_nobody_else or self.used_bytes
            return await super().acquire(size_bytes)

    volume = MemoryVolume(12 * MIB)
    for offset in range(0, 12 * MIB, 4 * MIB):
        volume.write(offset, b"data")
    async with rig(chunk_size_bytes=4 * MIB, compression_level=19) as made:
        made.budget = budget = Watched(DEFAULT_BYTES)
        manifest, _ = await made.back_up(volume.open())
        assert budget.used_by_nobody_else == room(DEFAULT_BYTES, 4 * MIB, 19, 2).state_bytes > MIB
        assert budget.used_bytes_max <= DEFAULT_BYTES
        await made.verify(manifest)
