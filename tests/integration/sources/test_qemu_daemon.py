"""Backups of a disk of a real storage daemon, taken by a real daemon of ours."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chunker.extents import Extent
from tests.support.daemon import Daemon, Place, read_for_changes, serving
from tests.support.qemu import SECTION
from tests.support.servers.storage_daemon import DISK, Guest, MakeStorageDaemon, StorageDaemon

SIZE_BYTES = 8 * 1024 * 1024
BLOCK_BYTES = 64 * 1024


@pytest.fixture
def storage(make_storage_daemon: MakeStorageDaemon) -> StorageDaemon:
    return make_storage_daemon(SIZE_BYTES)


@pytest.fixture
def guest(storage: StorageDaemon) -> Iterator[Guest]:
    with closing(storage.guest()) as guest:
        guest.write(0, random.Random(1).randbytes(SIZE_BYTES // 2))
        yield guest


@pytest.fixture
async def daemon(tmp_path: Path, storage: StorageDaemon) -> AsyncIterator[Daemon]:
    async with serving(Place(tmp_path, more=SECTION.format(root=storage.directory))) as daemon:
        yield daemon


@pytest.fixture
async def volume(daemon: Daemon, storage: StorageDaemon) -> str:
    return await daemon.add_source(f"qemu+qmp://{storage.monitor}?node={DISK}&nbd={storage.live}", name="disk")


async def restored(daemon: Daemon, backup: Any) -> bytes:
    return (await daemon.restore(backup, daemon.place.restores / backup["id"])).read_bytes()


async def test_p1_exact_full_and_increment_of_a_running_disk(
    daemon: Daemon, storage: StorageDaemon, guest: Guest, volume: str
) -> None:
    full = await daemon.back_up(volume)
    assert full["statistics"]["read_bytes"] <= SIZE_BYTES
    guest.write(BLOCK_BYTES, b"changed" * 1000)
    guest.discard(Extent(4 * BLOCK_BYTES, 2 * BLOCK_BYTES))
    guest.write(SIZE_BYTES - 512, b"x" * 512)
    increment = await daemon.back_up(volume)
    assert increment["full_read_reason"] is None
    assert read_for_changes(increment) <= 4 * BLOCK_BYTES
    assert storage.traces() == []
    assert len(storage.bitmaps()) == 1
    storage.stop()
    assert await restored(daemon, increment) == storage.content()
    assert (await restored(daemon, full))[: SIZE_BYTES // 2] == random.Random(1).randbytes(SIZE_BYTES // 2)


async def test_a_killed_qemu_is_read_in_full_once_with_the_reason(
    daemon: Daemon, storage: StorageDaemon, guest: Guest, volume: str
) -> None:
    await daemon.back_up(volume)
    guest.flush()
    storage.kill()
    storage.start()
    first = await daemon.back_up(volume)
    assert (first["mode"], first["read_as"]) == ("incremental", "whole")
    assert "QEMU was killed" in first["full_read_reason"]
    second = await daemon.back_up(volume)
    assert (second["read_as"], second["full_read_reason"]) == ("tracked", None)


async def test_an_increment_of_a_huge_image_reads_what_changed_and_nothing_else(
    tmp_path: Path, make_storage_daemon: MakeStorageDaemon
) -> None:
    tib, dirty = 1024**4, 100
    storage = make_storage_daemon(tib)
    section = SECTION.format(root=storage.directory) + "reserve = false\n[audit]\ncover_within_days = 0\n"
    chance = random.Random(1)
    async with serving(Place(tmp_path, more=section)) as daemon:
        volume = await daemon.add_source(f"qemu+qmp://{storage.monitor}?node={DISK}&nbd={storage.live}", name="disk")
        await daemon.back_up(volume)
        with closing(storage.guest()) as guest:
            for block in chance.sample(range(tib // BLOCK_BYTES), dirty):
                guest.write(block * BLOCK_BYTES, chance.randbytes(BLOCK_BYTES))
        increment = await daemon.back_up(volume)
    statistics = increment["statistics"]
    assert increment["read_as"] == "tracked"
    assert statistics["new_chunks"] == dirty
    assert statistics["read_bytes"] <= dirty * BLOCK_BYTES
