from __future__ import annotations

import asyncio

import pytest

from backupd.errors import CorruptObject
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.fetch import NodeFetcher
from backupd.pipeline.nodes import NodeCache, NodeSaver
from backupd.pipeline.packer import Packer
from backupd.pipeline.stored import StoredChunks
from backupd.repository import layout
from chunker.digest import Ids
from chunker.frame import FrameWriter
from chunker.node import NODE_SIZE_BYTES_MAX, Pointer
from tests.support.rig import Rig, pack_ids, rig


def plain(number: int) -> bytes:
    return f"node {number} ".encode() * 10


async def save(made: Rig, *plains: bytes) -> list[Pointer]:
    """Store nodes in one pack, as a backup does."""
    keys = made.repository.keys
    stored = StoredChunks(made.repository, made.workers, None, pack_ids())
    packer = Packer(ByteBudget(10_000_000), stored.pack_ids, stored.store, pack_size_bytes=5_000_000, uploads_max=1)
    writer = FrameWriter(keys, compression_level=3, is_encrypted=True)
    saver = NodeSaver(packer, made.workers, Ids(keys.id_key), writer)
    async with asyncio.TaskGroup() as group:
        group.create_task(packer.upload())
        pointers = [await saver.save(one) for one in plains]
        await packer.finish()
    return pointers


def cache(made: Rig) -> NodeCache:
    return NodeCache(NodeFetcher(made.repository, made.workers))


async def test_nodes_come_back_in_the_order_asked_for() -> None:
    async with rig() as made:
        pointers = await save(made, plain(1), plain(2), bytes(NODE_SIZE_BYTES_MAX))
        assert await cache(made).load(pointers[::-1]) == [bytes(NODE_SIZE_BYTES_MAX), plain(2), plain(1)]


async def test_a_node_used_lately_is_not_fetched_again() -> None:
    async with rig() as made:
        pointers = await save(made, *map(plain, range(3)))
        nodes = cache(made)
        await nodes.load(pointers)
        before = made.observed.counters.requests
        assert await nodes.load([pointers[1], pointers[1]]) == [plain(1), plain(1)]
        assert (made.observed.counters.requests, nodes.loads) == (before, 3)


async def test_no_more_than_128_nodes_are_kept() -> None:
    async with rig() as made:
        pointers = await save(made, *map(plain, range(200)))
        nodes = cache(made)
        assert await nodes.load(pointers) == [plain(number) for number in range(200)]
        assert len(nodes._cached) == 128
        await nodes.load(pointers[:1])
        assert (nodes.loads, len(nodes._cached)) == (201, 128)


async def test_a_chunk_cannot_pass_for_a_node() -> None:
    async with rig() as made:
        (pointer,) = await save(made, plain(1))
        with pytest.raises(CorruptObject, match=f"{layout.pack(pointer.pack)}: frame {bytes(32).hex()} at offset 0: "):
            await cache(made).load([pointer._replace(id=bytes(32))])


async def test_a_lost_pack_is_named() -> None:
    async with rig() as made:
        (pointer,) = await save(made, plain(1))
        await made.repository.target.delete(layout.pack(pointer.pack))
        with pytest.raises(CorruptObject, match=f"{layout.pack(pointer.pack)} is lost"):
            await cache(made).load([pointer])
