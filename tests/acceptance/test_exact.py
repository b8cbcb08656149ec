"""P1: what was backed up comes back bit for bit, whatever it looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chunker.extents import Extent
from tests.support.daemon import Daemon
from tests.support.volumes import guest_like_bytes, half_zero_bytes, random_bytes, write_sparse_file

MIB = 1024 * 1024


def shapes(chunk_size_bytes: int) -> dict[str, bytes]:
    return {
        "one-byte": b"x",
        "odd-size": random_bytes(2 * chunk_size_bytes + 4321, seed=1),
        "on-the-grid": random_bytes(2 * chunk_size_bytes, seed=2),
        "one-short": random_bytes(chunk_size_bytes - 1, seed=3),
        "zeros": bytes(3 * chunk_size_bytes + 7),
        "runs": half_zero_bytes(9 * MIB, seed=4),
        "guest": guest_like_bytes(2 * chunk_size_bytes + 99, seed=5),
        "repeating": b"the same again " * (chunk_size_bytes // 7),
    }


def differing(contents: dict[str, bytes], restores: Path) -> list[str]:
    return [name for name, content in contents.items() if (restores / name).read_bytes() != content]


@pytest.mark.parametrize("is_encrypted", [True, False])
@pytest.mark.parametrize("chunk_size_bytes", [64 * 1024, 256 * 1024, 4 * MIB])
async def test_p1_exact_every_shape(daemon: Daemon, chunk_size_bytes: int, is_encrypted: bool) -> None:
    policy: dict[str, Any] = {"chunk_size_bytes": chunk_size_bytes, "is_encrypted": is_encrypted}
    contents = shapes(chunk_size_bytes)
    jobs = []
    for name, content in contents.items():
        (daemon.place.sources / name).write_bytes(content)
        await daemon.add_volume(daemon.place.sources / name, **policy)
        jobs.append(await daemon.start_backup(name))
    for name, job in zip(contents, jobs, strict=True):
        await daemon.succeeded(job)
        backup = await daemon.get(f"/v1/backups/{job['backup_id']}")
        assert (backup["state"], backup["size_bytes"]) == ("available", len(contents[name]))
        await daemon.restore(backup, daemon.place.restores / name)
    assert differing(contents, daemon.place.restores) == []


async def test_p1_exact_sparse_with_data_at_both_ends(daemon: Daemon) -> None:
    path = daemon.place.sources / "sparse"
    content = write_sparse_file(path, 64 * MIB + 5, [Extent(0, 70_000), Extent(64 * MIB - 3, 8)])
    backup = await daemon.back_up(await daemon.add_volume(path))
    restored = await daemon.restore(backup, daemon.place.restores / "sparse")
    assert restored.read_bytes() == content
    assert restored.stat().st_blocks * 512 <= 2 * MIB


async def test_p1_exact_is_verified_to_its_last_byte(daemon: Daemon) -> None:
    path = daemon.place.sources / "disk"
    path.write_bytes(guest_like_bytes(3 * MIB))
    backup = await daemon.back_up(await daemon.add_volume(path))
    job = await daemon.verify(backup)
    assert (job["state"], job["progress"]["done_bytes"]) == ("succeeded", 3 * MIB)


async def test_empty_volume_is_backed_up_and_restored(daemon: Daemon) -> None:
    path = daemon.place.sources / "empty"
    path.touch()
    backup = await daemon.back_up(await daemon.add_volume(path))
    restored = await daemon.restore(backup, daemon.place.restores / "empty")
    assert restored.read_bytes() == b""


async def test_a_tebibyte_of_holes_costs_only_its_data(daemon: Daemon) -> None:
    path = daemon.place.sources / "huge"
    extents = [Extent(number * 2**36, 10 * MIB) for number in range(10)]
    with path.open("wb") as file:
        for number, extent in enumerate(extents):
            file.seek(extent.offset_bytes)
            file.write(random_bytes(extent.length_bytes, seed=number))
        file.truncate(2**40)
    backup = await daemon.back_up(await daemon.add_volume(path))
    assert backup["size_bytes"] == 2**40
    assert 100 * MIB <= backup["statistics"]["read_bytes"] <= 101 * MIB
    restored = await daemon.restore(backup, daemon.place.restores / "huge")
    assert restored.stat().st_size == 2**40
    assert restored.stat().st_blocks * 512 <= 101 * MIB
    with restored.open("rb") as file:
        for number, extent in enumerate(extents):
            file.seek(extent.offset_bytes)
            assert file.read(extent.length_bytes) == random_bytes(extent.length_bytes, seed=number)
