"""What is damaged is made right again from where it still is: another target, or the volume itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chunker.digest import Kind
from tests.support.api import CHUNK_SIZE_BYTES
from tests.support.crashes import resumed
from tests.support.daemon import Place
from tests.support.damage import entries_of, flip, packs_of, repair, scrub
from tests.support.volumes import guest_like_bytes, random_bytes

CHUNKS = 8
CONTENT = guest_like_bytes(CHUNKS * CHUNK_SIZE_BYTES)
SECOND = '[targets.second]\nurl = "file://{root}/second"\n'


async def stored(place: Place, **policy: Any) -> Any:
    (place.sources / "disk").write_bytes(CONTENT)
    async with resumed(place) as api:
        return await api.back_up(await api.add_volume(place.sources / "disk", **policy))


@pytest.fixture
async def mirrored(tmp_path: Path) -> tuple[Place, Any]:
    (tmp_path / "second").mkdir()
    place = Place(tmp_path, more=SECOND)
    return place, await stored(place, copies=["second"], quorum=2)


def garble_frame(path: Path, number: int) -> None:
    flip(path, entries_of(path)[number].offset + 50)


def flipped(at: int) -> Callable[[Path], None]:
    return lambda path: flip(path, at)


def cut(path: Path) -> None:
    os.truncate(path, 100)


@pytest.mark.parametrize(
    "harm", [flipped(50), flipped(-60), cut, Path.unlink], ids=["garbled", "footer", "cut", "lost"]
)
async def test_a_copy_on_another_target_makes_every_object_right_again(
    mirrored: tuple[Place, Any], harm: Callable[[Path], None]
) -> None:
    place, backup = mirrored
    paths = [path for path in sorted(place.target.glob("default/**/*")) if path.is_file()]
    objects = {path: path.read_bytes() for path in paths if path.parent.name != "writers"}
    for path in objects:
        harm(path)
    async with resumed(place) as api:
        assert (await scrub(api))["state"] == "failed"
        job = await repair(api)
        assert job["state"] == "succeeded", job
        assert await api.get("/v1/damages") == []
        assert (await scrub(api))["state"] == "succeeded"
        assert (await api.get(f"/v1/backups/{backup['id']}"))["is_damaged"] is False
    assert {path: path.read_bytes() for path in objects} == objects


async def test_frames_come_from_both_targets_when_each_has_lost_another_one(mirrored: tuple[Place, Any]) -> None:
    place, backup = mirrored
    first, second = packs_of(place.target, Kind.CHUNK)[0], packs_of(place.root / "second", Kind.CHUNK)[0]
    garble_frame(first, 0)
    garble_frame(second, 1)
    (place.sources / "disk").write_bytes(bytes(len(CONTENT)))  # The volume has nothing of it any more.
    async with resumed(place) as api:
        await scrub(api)
        assert (await repair(api))["state"] == "succeeded"
        assert (await scrub(api))["state"] == "succeeded"
        assert (await api.restore(backup, place.restores / "disk")).read_bytes() == CONTENT


@pytest.mark.parametrize("is_encrypted", [True, False])
@pytest.mark.parametrize("is_lost", [True, False])
async def test_the_volume_gives_back_what_it_still_has(place: Place, is_encrypted: bool, is_lost: bool) -> None:
    backup = await stored(place, is_encrypted=is_encrypted)
    (path,) = packs_of(place.target, Kind.CHUNK)
    if is_lost:
        path.unlink()
    else:
        garble_frame(path, 2)
    async with resumed(place) as api:
        await scrub(api)
        job = await repair(api)
        assert job["state"] == "succeeded", job
        assert (await scrub(api))["state"] == "succeeded"
        assert (await api.verify(backup))["state"] == "succeeded"


async def test_p3_tell_what_nobody_has_any_more_stays_damaged(place: Place) -> None:
    backup = await stored(place)
    (path,) = packs_of(place.target, Kind.CHUNK)
    garble_frame(path, 2)
    garble_frame(path, 5)
    lost = entries_of(path)[5]
    changed = CONTENT[: 5 * CHUNK_SIZE_BYTES] + random_bytes(CHUNK_SIZE_BYTES) + CONTENT[6 * CHUNK_SIZE_BYTES :]
    (place.sources / "disk").write_bytes(changed)
    async with resumed(place) as api:
        await scrub(api)
        job = await repair(api)
        assert (job["state"], job["failure"]["code"]) == ("failed", "repository.corrupt")
        assert [one["key"] for one in job["result"]["unrepaired"]] == [str(path.relative_to(place.target))]
        await scrub(api)
        (damage,) = await api.get("/v1/damages")
        assert damage["frame_id"] == lost.id.hex()  # The other one came from the volume.
        assert damage["backups"][0]["ranges"] == [[5 * CHUNK_SIZE_BYTES, CHUNK_SIZE_BYTES]]
        assert (await api.get(f"/v1/backups/{backup['id']}"))["is_damaged"] is True
        restore = await api.succeeded(await api.start_restore(backup, place.restores / "disk", allow_damaged=True))
        assert restore["result"]["damaged_ranges"] == damage["backups"][0]["ranges"]


async def test_a_footer_is_written_anew_when_trees_say_all_that_it_said(place: Place) -> None:
    backup = await stored(place)
    (path,) = packs_of(place.target, Kind.CHUNK)
    before = path.read_bytes()
    flip(path, -60)
    async with resumed(place) as api:
        await scrub(api)
        assert (await repair(api))["state"] == "succeeded"
        assert (await api.verify(backup))["state"] == "succeeded"
    assert path.read_bytes() == before


async def test_damage_that_has_healed_is_found_clean(place: Place) -> None:
    await stored(place)
    (path,) = packs_of(place.target, Kind.CHUNK)
    garble_frame(path, 2)
    async with resumed(place) as api:
        await scrub(api)
        garble_frame(path, 2)
        job = await repair(api)
        assert job["result"]["found_clean"] == [str(path.relative_to(place.target))]
        assert await api.get("/v1/damages") == []
