"""Incremental backups: each one restores exactly, whatever it read and whatever was deleted around it."""

from __future__ import annotations

import random
import subprocess
from typing import Any

import pytest

from tests.support.api import CHUNK_SIZE_BYTES
from tests.support.daemon import Daemon, read_for_changes
from tests.support.volumes import random_bytes

CHUNKS = 40
SIZE_BYTES = CHUNKS * CHUNK_SIZE_BYTES


class Disk:
    """A volume whose content the test knows at each of its backups."""

    def __init__(self, daemon: Daemon, *, size_bytes: int = SIZE_BYTES) -> None:
        self._daemon = daemon
        self.path = daemon.place.sources / "disk"
        self.content = bytearray(random_bytes(size_bytes))
        self.path.write_bytes(self.content)

    async def first(self) -> Any:
        """Register the volume and back it up in full."""
        return await self._daemon.back_up(await self._daemon.add_volume(self.path))

    def change(self, offset: int, data: bytes) -> dict[str, int]:
        """Write, and return what was written as an extent."""
        self.content[offset : offset + len(data)] = data
        self.path.write_bytes(self.content)
        return {"offset_bytes": offset, "length_bytes": len(data)}

    def punch(self, offset: int, length: int) -> dict[str, int]:
        """Give a range back to the file system, as a guest's discard does, and return it as an extent."""
        self.content[offset : offset + length] = bytes(length)
        command = ["fallocate", "--punch-hole", f"--offset={offset}", f"--length={length}", str(self.path)]
        subprocess.run(command, check=True)
        return {"offset_bytes": offset, "length_bytes": length}

    def resize(self, size_bytes: int) -> None:
        """Cut the end off, or add other random bytes."""
        added = random_bytes(max(size_bytes - len(self.content), 0), seed=size_bytes)
        self.content = self.content[:size_bytes] + added
        self.path.write_bytes(self.content)

    async def next(self, parent: Any, changed: list[dict[str, int]]) -> Any:
        """Take an incremental backup of what is told to have changed since its parent."""
        return await self._daemon.back_up("disk", parent=parent["id"], changed_extents=changed)

    async def is_restored_by(self, backup: Any, content: bytes | None = None) -> bool:
        """Tell whether the backup gives the content back, that of now unless another one is named."""
        restored = await self._daemon.restore(backup, self._daemon.place.restores / backup["id"])
        return restored.read_bytes() == (self.content if content is None else content)


@pytest.fixture
def disk(daemon: Daemon) -> Disk:
    return Disk(daemon)


async def test_p1_exact_incremental_from_changed_extents(disk: Disk) -> None:
    first = await disk.first()
    extents = [disk.change(CHUNK_SIZE_BYTES * 3 + 5, b"new"), disk.change(CHUNK_SIZE_BYTES * 20 - 2, b"cross")]
    second = await disk.next(first, extents)
    assert (second["mode"], second["parent_id"], second["full_read_reason"]) == (
        "incremental",
        first["id"],
        None,
    )
    assert read_for_changes(second) == 3 * CHUNK_SIZE_BYTES
    assert second["statistics"]["new_chunks"] == 3
    assert await disk.is_restored_by(second)


async def test_p1_exact_incremental_that_reads_everything(daemon: Daemon, disk: Disk) -> None:
    await disk.first()
    disk.change(CHUNK_SIZE_BYTES * 7, bytes(CHUNK_SIZE_BYTES) + b"z")
    second = await daemon.back_up("disk", mode="incremental")
    statistics = second["statistics"]
    assert "no changed-block tracking" in second["full_read_reason"]
    assert statistics["read_bytes"] == SIZE_BYTES
    assert (statistics["unchanged_chunks"], statistics["new_chunks"]) == (CHUNKS - 2, 1)
    assert statistics["new_bytes"] == CHUNK_SIZE_BYTES
    assert await disk.is_restored_by(second)


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize(("first", "end"), [(5, 30), (0, CHUNKS)])
async def test_p1_exact_a_hole_punched_over_old_data_brings_nothing_old_back(
    daemon: Daemon, disk: Disk, first: int, end: int, is_told: bool
) -> None:
    before = bytes(disk.content)
    parent = await disk.first()
    hole = disk.punch(first * CHUNK_SIZE_BYTES, (end - first) * CHUNK_SIZE_BYTES)
    backup = await (disk.next(parent, [hole]) if is_told else daemon.back_up("disk"))
    # Nothing of the hole is read, so nothing but the plan tells that it is one.
    assert read_for_changes(backup) == (0 if is_told else (CHUNKS - end + first) * CHUNK_SIZE_BYTES)
    assert await disk.is_restored_by(backup)
    assert await disk.is_restored_by(parent, before)


async def test_incremental_of_an_unchanged_volume_stores_no_pack(daemon: Daemon, disk: Disk) -> None:
    await disk.first()
    packs = daemon.place.objects("packs")
    second = await daemon.back_up("disk")
    assert daemon.place.objects("packs") == packs
    assert second["statistics"]["new_chunks"] == 0
    assert await disk.is_restored_by(second)


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("size_bytes", [SIZE_BYTES + 12_345, SIZE_BYTES * 2, SIZE_BYTES + CHUNK_SIZE_BYTES])
async def test_p1_exact_grown_volume(daemon: Daemon, disk: Disk, size_bytes: int, is_told: bool) -> None:
    before = bytes(disk.content)
    first = await disk.first()
    disk.resize(size_bytes)
    second = await (disk.next(first, []) if is_told else daemon.back_up("disk"))
    assert second["size_bytes"] == size_bytes
    assert read_for_changes(second) == (size_bytes - SIZE_BYTES if is_told else size_bytes)
    assert await disk.is_restored_by(second)
    assert await disk.is_restored_by(first, before)


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("size_bytes", [SIZE_BYTES - 12_345, SIZE_BYTES - CHUNK_SIZE_BYTES, 1])
async def test_p1_exact_shrunk_volume(daemon: Daemon, disk: Disk, size_bytes: int, is_told: bool) -> None:
    before = bytes(disk.content)
    first = await disk.first()
    disk.resize(size_bytes)
    second = await (disk.next(first, []) if is_told else daemon.back_up("disk"))
    assert second["size_bytes"] == size_bytes
    assert await disk.is_restored_by(second)
    assert await disk.is_restored_by(first, before)


async def test_p1_exact_shrunk_and_grown_again_brings_nothing_old_back(disk: Disk) -> None:
    first = await disk.first()
    disk.resize(CHUNK_SIZE_BYTES + 100)
    second = await disk.next(first, [])
    disk.resize(SIZE_BYTES)
    third = await disk.next(second, [])
    assert await disk.is_restored_by(third)


async def test_p1_exact_chain_whose_first_and_middle_backups_are_deleted(daemon: Daemon, disk: Disk) -> None:
    chance = random.Random(5)
    backups = [await disk.first()]
    contents = [bytes(disk.content)]
    for number in range(5):
        extents = [disk.change(chance.randrange(SIZE_BYTES - 99), chance.randbytes(99)) for _ in range(4)]
        backups.append(await (disk.next(backups[-1], extents) if number % 2 else daemon.back_up("disk")))
        contents.append(bytes(disk.content))
    for number in (3, 0):
        await daemon.delete(backups[number])
    left = [number for number in range(6) if number not in (0, 3)]
    assert [n for n in left if not await disk.is_restored_by(backups[n], contents[n])] == []
    assert [n for n in left if (await daemon.verify(backups[n]))["state"] != "succeeded"] == []


async def test_incremental_goes_on_after_its_parent_was_deleted(daemon: Daemon, disk: Disk) -> None:
    first = await disk.first()
    second = await daemon.back_up("disk")
    await daemon.delete(second)
    disk.change(9, b"later")
    third = await daemon.back_up("disk", mode="incremental")
    assert third["parent_id"] == first["id"]
    assert await disk.is_restored_by(third)


async def test_a_deleted_backup_is_not_restored(daemon: Daemon, disk: Disk) -> None:
    first = await disk.first()
    await daemon.delete(first)
    body = {"backup": first["id"], "path": str(daemon.place.restores / "none")}
    status, problem = await daemon.ask("/v1/restores", body)
    assert (status, problem["code"]) == (409, "conflict")
    assert "deleted" in problem["detail"]


async def test_extent_behind_the_end_of_the_volume_is_told(daemon: Daemon, disk: Disk) -> None:
    first = await disk.first()
    extents = [{"offset_bytes": SIZE_BYTES - 1, "length_bytes": 2}]
    job = await daemon.start_backup("disk", parent=first["id"], changed_extents=extents)
    job = await daemon.ended(job)
    assert (job["state"], job["failure"]["code"]) == ("failed", "source.invalid")
    assert str(SIZE_BYTES) in job["failure"]["message"]


async def test_chunks_that_are_equal_are_stored_once(daemon: Daemon) -> None:
    content = random_bytes(CHUNK_SIZE_BYTES) * 4 + random_bytes(CHUNK_SIZE_BYTES, seed=1)
    for name in ("one", "two"):
        (daemon.place.sources / name).write_bytes(content)
        await daemon.add_volume(daemon.place.sources / name)
    one, two = [(await daemon.back_up(name))["statistics"] for name in ("one", "two")]
    assert (one["new_chunks"], one["reused_chunks"]) == (2, 3)
    assert (two["new_chunks"], two["reused_chunks"], two["new_bytes"]) == (0, 5, 0)
