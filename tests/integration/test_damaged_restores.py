"""What is left of a damaged backup is restored when that is asked for, and read from another copy before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chunker.digest import Kind
from tests.support.api import CHUNK_SIZE_BYTES
from tests.support.crashes import resumed
from tests.support.daemon import Place
from tests.support.damage import entries_of, flip, packs_of
from tests.support.loop_device import AttachLoop
from tests.support.volumes import random_bytes

CHUNKS = 8
CONTENT = random_bytes(CHUNKS * CHUNK_SIZE_BYTES + 100)
HOLED = CONTENT[: 3 * CHUNK_SIZE_BYTES] + bytes(CHUNK_SIZE_BYTES) + CONTENT[4 * CHUNK_SIZE_BYTES :]


@pytest.fixture
async def backup(place: Place) -> Any:
    (place.sources / "disk").write_bytes(CONTENT)
    async with resumed(place) as api:
        backup = await api.back_up(await api.add_volume(place.sources / "disk"))
    (path,) = packs_of(place.target, Kind.CHUNK)
    flip(path, entries_of(path)[3].offset + 50)
    return backup


async def test_the_rest_of_a_damaged_backup_is_restored_on_request(place: Place, backup: Any) -> None:
    async with resumed(place) as api:
        job = await api.succeeded(await api.start_restore(backup, place.restores / "disk", allow_damaged=True))
    assert (place.restores / "disk").read_bytes() == HOLED
    assert job["result"]["damaged_ranges"] == [[3 * CHUNK_SIZE_BYTES, CHUNK_SIZE_BYTES]]
    assert job["result"]["damaged_bytes"] == CHUNK_SIZE_BYTES
    assert "packs/" in job["result"]["reasons"][0]


async def test_p3_tell_without_the_request_nothing_is_left(place: Place, backup: Any) -> None:
    async with resumed(place) as api:
        job = await api.ended(await api.start_restore(backup, place.restores / "disk"))
    assert (job["state"], job["failure"]["code"]) == ("failed", "repository.corrupt")
    assert not (place.restores / "disk").exists()


async def test_a_lost_node_leaves_zeros_for_all_below_it(place: Place, backup: Any) -> None:
    (path,) = packs_of(place.target, Kind.NODE)
    path.unlink()
    async with resumed(place) as api:
        job = await api.succeeded(await api.start_restore(backup, place.restores / "disk", allow_damaged=True))
    assert (place.restores / "disk").read_bytes() == bytes(len(CONTENT))
    assert job["result"]["damaged_ranges"] == [[0, len(CONTENT)]]


async def test_a_device_has_zeros_where_nothing_is_left(
    place: Place, backup: Any, tmp_path: Path, attach_loop: AttachLoop
) -> None:
    (tmp_path / "image").write_bytes(b"\xff" * 1024 * 1024)
    device = attach_loop(tmp_path / "image")
    async with resumed(place) as api:
        await api.succeeded(await api.start_restore(backup, device, allow_damaged=True, overwrite=True))
    assert device.read_bytes()[: len(HOLED)] == HOLED


SECOND = '[targets.second]\nurl = "file://{root}/second"\n'


@pytest.mark.parametrize("kind", [Kind.CHUNK, Kind.NODE])
async def test_p1_exact_what_is_damaged_on_one_target_is_read_from_another(tmp_path: Path, kind: Kind) -> None:
    (tmp_path / "second").mkdir()
    place = Place(tmp_path, more=SECOND)
    (place.sources / "disk").write_bytes(CONTENT)
    async with resumed(place) as api:
        name = await api.add_volume(place.sources / "disk", copies=["second"], quorum=2)
        backup = await api.back_up(name)
        for path in packs_of(place.target, kind):
            flip(path, 50)
        assert (await api.restore(backup, place.restores / "disk")).read_bytes() == CONTENT
