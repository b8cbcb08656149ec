"""An incremental costs what changed, whatever the size of the volume: counted in reads, requests, bytes and nodes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from backupd.repository import layout
from chunker.node import NODE_SIZE_BYTES_MAX
from chunker.sources.file import FileSource
from tests.support.rig import CountedPoint, Rig, changed, rig

MIB = 1024 * 1024
TIB = 1024 * 1024 * MIB
CHUNK = 256 * 1024
LEAF = 512 * CHUNK
DATA_CHUNKS = 100 * MIB // CHUNK


@pytest.fixture
def sparse_volume(tmp_path: Path) -> Path:
    """A file of 1 TiB with 100 MiB of data in 50 places all over it."""
    path = tmp_path / "volume.img"
    generator = random.Random(1)
    with path.open("wb") as volume:
        volume.truncate(TIB)
        for place in range(50):
            volume.seek(place * (TIB // 50) // LEAF * LEAF)
            volume.write(generator.randbytes(64 * 1024) + bytes(2 * MIB - 64 * 1024 - 1) + b"\1")
    return path


async def test_a_sparse_tebibyte_costs_its_data(sparse_volume: Path) -> None:
    async with rig(chunk_size_bytes=CHUNK) as made:
        point = CountedPoint(FileSource(sparse_volume).open())
        manifest, statistics = await made.back_up(point)
        point.close()
        assert manifest.size_bytes == TIB
        assert point.read_bytes <= 100 * MIB + 50 * CHUNK
        assert point.read_calls <= 2 * 50
        # 50 leaves, the 16 nodes above them at most, and the root.
        assert statistics.nodes <= 50 + 16 + 1
        # repository.json looked for, made and written; packs, and the manifest.
        assert made.observed.counters.requests <= 3 + statistics.packs + 1


async def test_64_changed_chunks_cost_their_paths_only(sparse_volume: Path) -> None:
    async with rig(chunk_size_bytes=CHUNK) as made:
        point = CountedPoint(FileSource(sparse_volume).open())
        parent, _ = await made.back_up(point)
        point.close()
        extents = overwrite(sparse_volume, places=64)
        before = made.observed.counters.operations.copy()
        put_bytes = made.observed.counters.bytes_out
        point = CountedPoint(FileSource(sparse_volume).open())
        manifest, statistics = await made.back_up(point, changed(*extents, base=parent))
        point.close()
        requests = made.observed.counters.operations - before
        assert point.read_bytes == 64 * CHUNK
        assert point.read_calls == 64
        assert statistics.new_chunks == 64
        assert statistics.nodes <= 64 + 16 + 1
        # Reads of nodes on the old paths; then one pack of chunks, one of nodes and the manifest.
        assert requests["get"] <= 50 + 16 + 1
        assert requests["put"] == 3
        assert (
            made.observed.counters.bytes_out - put_bytes <= 64 * (CHUNK + 200) + statistics.nodes * NODE_SIZE_BYTES_MAX
        )
        assert await shared_packs(made) == 4
        await made.verify(manifest)
        await made.verify(parent)


async def test_nothing_changed_stores_nothing_but_a_manifest(sparse_volume: Path) -> None:
    async with rig(chunk_size_bytes=CHUNK) as made:
        point = CountedPoint(FileSource(sparse_volume).open())
        parent, _ = await made.back_up(point)
        operations = made.observed.counters.operations.copy()
        again = CountedPoint(point)
        manifest, statistics = await made.back_up(again, changed(base=parent))
        point.close()
        assert manifest.root == parent.root
        assert (again.read_calls, statistics.nodes, statistics.packs) == (0, 0, 0)
        assert dict(made.observed.counters.operations - operations) == {"put": 1}


async def test_an_unchanged_volume_that_is_read_again_stores_nothing(sparse_volume: Path) -> None:
    async with rig(chunk_size_bytes=CHUNK) as made:
        point = CountedPoint(FileSource(sparse_volume).open())
        parent, _ = await made.back_up(point)
        manifest, statistics = await made.back_up(point, changed((0, TIB), base=parent))
        point.close()
        assert manifest.root == parent.root
        assert (statistics.new_chunks, statistics.nodes, statistics.packs) == (0, 0, 0)
        assert statistics.unchanged_chunks + statistics.zero_chunks == DATA_CHUNKS


def overwrite(path: Path, *, places: int) -> list[tuple[int, int]]:
    """Change one block in each of ``places`` chunks, far from each other; return the changed extents."""
    extents = []
    descriptor = os.open(path, os.O_WRONLY)
    for place in range(places):
        offset = place * (TIB // places) // CHUNK * CHUNK + CHUNK // 2
        os.pwrite(descriptor, os.urandom(4096), offset)
        extents.append((offset, 4096))
    os.close(descriptor)
    return extents


async def shared_packs(made: Rig) -> int:
    """Count the packs on the target."""
    return len([found async for found in made.target.list(layout.PACKS)])
