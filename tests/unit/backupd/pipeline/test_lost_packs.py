"""P1: a backup relies on no pack that is not on the target, and what looking for them costs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backupd.jobs.failure import failure_of
from backupd.pipeline.changes import Reading
from backupd.repository import layout
from backupd.repository.manifest import Manifest
from chunker.digest import Kind
from chunker.extents import Extent
from chunker.sources.file import FileSource
from targets.errors import Unavailable
from targets.memory import MemoryTarget
from targets.wrappers.faults import Fault, Faults
from tests.support.rig import Rig, changed, rig
from tests.support.volumes import random_bytes

MIB = 1024 * 1024
CONTENT = random_bytes(40 * MIB)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(chunk_size_bytes=256 * 1024, index_path=tmp_path / "index.db") as made:
        yield made


async def back_up(made: Rig, disk: Path, reading: Reading | None = None) -> Manifest:
    point = FileSource(disk).open()
    try:
        return (await made.back_up(point, reading))[0]
    finally:
        point.close()


async def chunk_packs(made: Rig) -> list[str]:
    keys = [info.key async for info in made.target.list(layout.PACKS)]
    footers = {key: await made.repository.footer(bytes.fromhex(key.rpartition("/")[2])) for key in keys}
    return [key for key, entries in footers.items() if entries[0].kind is Kind.CHUNK]


async def cut_short(made: Rig, key: str) -> None:
    body = await made.target.get(key)
    await made.target.put(key, body[:1000])


async def test_p1_exact_what_only_lost_packs_had_is_stored_anew(made: Rig, disk: Path, tmp_path: Path) -> None:
    await back_up(made, disk)
    first, _, third, *_ = await chunk_packs(made)
    await made.target.delete(first)
    await cut_short(made, third)
    manifest = await back_up(made, disk)
    await made.verify(manifest)
    assert await made.restore(manifest, tmp_path / "restored") == CONTENT


async def test_p1_exact_an_incremental_that_reads_everything_stores_anew_what_its_parent_lost(
    made: Rig, disk: Path, tmp_path: Path
) -> None:
    parent = await back_up(made, disk)
    await made.target.delete((await chunk_packs(made))[1])
    manifest = await back_up(made, disk, changed((0, len(CONTENT)), base=parent))
    await made.verify(manifest)
    assert await made.restore(manifest, tmp_path / "restored") == CONTENT


async def test_only_what_was_lost_is_stored_anew(made: Rig, disk: Path) -> None:
    await back_up(made, disk)
    packs = await chunk_packs(made)
    await made.target.delete(packs[0])
    await back_up(made, disk)
    assert len(await chunk_packs(made)) == len(packs)


async def test_each_pack_that_is_used_again_is_looked_for_once(made: Rig, disk: Path) -> None:
    parent = await back_up(made, disk)
    packs = len(await chunk_packs(made))
    for reading in (None, changed((0, len(CONTENT)), base=parent)):
        before = made.observed.counters.operations["head"]
        await back_up(made, disk, reading)
        assert made.observed.counters.operations["head"] - before == packs >= 5


async def test_no_pack_is_looked_for_that_is_new_or_of_what_was_not_read(made: Rig, disk: Path) -> None:
    parent = await back_up(made, disk)
    with disk.open("r+b") as volume:
        volume.write(random_bytes(MIB, seed=2) * 2)
    await back_up(made, disk, Reading((Extent(0, 2 * MIB),), parent.tree))
    assert made.observed.counters.operations["head"] == 0


async def test_a_target_that_cannot_be_asked_fails_the_backup(tmp_path: Path, disk: Path) -> None:
    target = MemoryTarget()
    async with rig(target=target, index_path=tmp_path / "index.db") as made:
        await back_up(made, disk)
    down = [Fault(operation="head", error=Unavailable)]
    async with rig(target=target, wrap=lambda inner: Faults(inner, down), index_path=tmp_path / "index.db") as made:
        with pytest.raises(ExceptionGroup) as caught:
            await back_up(made, disk)
    assert failure_of(caught.value).code == "target.unavailable"
