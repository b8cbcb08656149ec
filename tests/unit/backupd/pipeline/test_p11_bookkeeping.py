"""P11: what is remembered besides the buffers is bounded too, counted entry by entry."""

from __future__ import annotations

from collections.abc import Sequence

from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.fetch import NodeFetcher
from backupd.pipeline.nodes import NodeCache
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.stored import StoredChunks
from backupd.pipeline.verify import VerifyPipeline
from backupd.repository.repository import Repository
from backupd.simulation.loop import LoopClock
from chunker.digest import Kind
from chunker.node import Pointer
from chunker.pack import PackEntry
from chunker.sources.memory import MemoryVolume
from tests.support.rig import BUDGET_BYTES, pack_ids, rig

PACKS = 40
CHUNKS_PER_PACK = 1000
FRAME_BYTES = 100


def numbered(number: int, size_bytes: int) -> bytes:
    return number.to_bytes(size_bytes, "big")


def entries_of(pack: int) -> list[PackEntry]:
    return [
        PackEntry(numbered(pack * CHUNKS_PER_PACK + place, 32), place * FRAME_BYTES, FRAME_BYTES, Kind.CHUNK)
        for place in range(CHUNKS_PER_PACK)
    ]


async def test_p11_bounded_the_chunks_on_their_way_are_those_of_a_few_packs() -> None:
    async with rig() as made:
        stored = StoredChunks(made.repository, made.workers, None, pack_ids())
        most = 0
        for pack in range(PACKS):
            entries = entries_of(pack)
            for entry in entries:
                stored.expect(Pointer(entry.id, numbered(pack, 16), entry.offset, entry.length))
            most = max(most, len(stored._pending))
            await stored.store(numbered(pack, 16), memoryview(b"a pack"), entries)
        # Those of the pack that is stored now and of the four before it.
        assert most == 5 * CHUNKS_PER_PACK
        assert len(stored._pending) == 4 * CHUNKS_PER_PACK
        assert sum(map(len, stored._stored)) == 4 * CHUNKS_PER_PACK


class EndlessNodes(NodeFetcher):
    """Has every node that it is asked for."""

    async def fetch(self, pointers: Sequence[Pointer]) -> list[bytes]:
        return [pointer.id for pointer in pointers]


async def test_p11_bounded_no_more_than_128_nodes_are_kept_of_tens_of_thousands() -> None:
    async with rig() as made:
        nodes = NodeCache(EndlessNodes(made.repository, made.workers))
        most = 0
        for first in range(0, 40_000, 8):
            await nodes.load([Pointer(numbered(first + more, 32), bytes(16), 0, 1) for more in range(8)])
            most = max(most, len(nodes._cached))
        assert (nodes.loads, most) == (40_000, 128)


class EndlessPacks(Repository):
    """Has every pack that it is asked for, with one frame of the same number in it."""

    async def footer(self, pack_id: bytes) -> list[PackEntry]:
        return [PackEntry(pack_id * 2, 0, FRAME_BYTES, Kind.CHUNK)]


async def test_p11_bounded_no_more_than_64_footers_are_kept_of_tens_of_thousands() -> None:
    async with rig() as made:
        verifying = VerifyPipeline(
            manifest=made.manifest(MemoryVolume(1).open(), None),
            repository=EndlessPacks(made.target, made.repository.description),
            workers=made.workers,
            budget=ByteBudget(BUDGET_BYTES),
            progress=ProgressMeter(LoopClock()),
        )
        most = 0
        for number in range(20_000):
            pack_id = numbered(number, 16)
            await verifying._check_footers([Pointer(pack_id * 2, pack_id, 0, FRAME_BYTES)])
            most = max(most, len(verifying._footers))
        assert most == 64
