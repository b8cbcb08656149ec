"""P3: what is damaged or lost on a target is found by a scrub, named, and told with the backups that need it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chunker.digest import Kind
from tests.support.api import CHUNK_SIZE_BYTES, Api
from tests.support.crashes import resumed
from tests.support.daemon import Place
from tests.support.damage import entries_of, flip, packs_of, scrub
from tests.support.volumes import random_bytes

CHUNKS = 8


def key_of(place: Place, path: Path) -> str:
    return str(path.relative_to(place.target))


@pytest.fixture
async def backup(place: Place) -> Any:
    (place.sources / "disk").write_bytes(random_bytes(CHUNKS * CHUNK_SIZE_BYTES))
    async with resumed(place) as api:
        return await api.back_up(await api.add_volume(place.sources / "disk"))


async def test_a_sound_target_is_clean(place: Place, backup: Any) -> None:
    async with resumed(place) as api:
        job = await scrub(api)
        assert job["state"] == "succeeded", job
        assert job["result"]["objects"] == len(place.objects("**"))
        assert job["result"]["scrubbed_bytes"] == sum(place.objects("**").values())
        assert await api.get("/v1/damages") == []
        assert (await api.get(f"/v1/backups/{backup['id']}"))["is_damaged"] is False


@pytest.mark.parametrize("with_keys", [True, False])
@pytest.mark.usefixtures("backup")
async def test_p3_tell_a_scrub_names_the_frame_that_is_damaged(place: Place, with_keys: bool) -> None:
    (path,) = packs_of(place.target, Kind.CHUNK)
    entry = entries_of(path)[3]
    flip(path, entry.offset + 50)
    async with resumed(place) as api:
        job = await scrub(api, with_keys=with_keys)
        (damage,) = await api.get("/v1/damages")
    assert (job["state"], job["failure"]["code"]) == ("failed", "repository.corrupt")
    assert key_of(place, path) in job["failure"]["message"]
    assert damage["key"] == key_of(place, path)
    assert (damage["offset"], damage["length"], damage["frame_id"]) == (entry.offset, entry.length, entry.id.hex())


async def test_p3_tell_damage_comes_with_the_backups_and_ranges_that_need_it(place: Place, backup: Any) -> None:
    (path,) = packs_of(place.target, Kind.CHUNK)
    flip(path, entries_of(path)[3].offset + 50)
    async with resumed(place) as api:
        other = await api.back_up("disk", mode="incremental")
        await scrub(api)
        (damage,) = await api.get(f"/v1/damages?backup={backup['id']}")
        hit = {one["backup_id"]: one["ranges"] for one in damage["backups"]}
        assert hit == {one["id"]: [[3 * CHUNK_SIZE_BYTES, CHUNK_SIZE_BYTES]] for one in (backup, other)}
        assert (await api.get(f"/v1/backups/{backup['id']}"))["is_damaged"] is True
        assert all(one["is_damaged"] for one in await api.get("/v1/backups"))


@pytest.mark.usefixtures("backup")
async def test_p3_tell_a_damaged_node_takes_all_below_it(place: Place) -> None:
    (path,) = packs_of(place.target, Kind.NODE)
    flip(path, 40)
    async with resumed(place) as api:
        await scrub(api)
        (damage,) = await api.get("/v1/damages")
    assert [one["ranges"] for one in damage["backups"]] == [[[0, CHUNKS * CHUNK_SIZE_BYTES]]]


@pytest.mark.usefixtures("backup")
async def test_p3_tell_a_lost_pack_is_found_by_who_looks_what_is_needed(place: Place) -> None:
    (path,) = packs_of(place.target, Kind.CHUNK)
    path.unlink()
    async with resumed(place) as api:
        job = await scrub(api)
        (damage,) = await api.get("/v1/damages")
    assert job["state"] == "failed"
    assert (damage["key"], damage["is_lost"]) == (key_of(place, path), True)
    assert [one["ranges"] for one in damage["backups"]] == [[[0, CHUNKS * CHUNK_SIZE_BYTES]]]


@pytest.mark.parametrize("name", ["manifest", "repository.json"])
async def test_p3_tell_lost_and_garbled_roots(place: Place, backup: Any, name: str) -> None:
    paths = {
        "manifest": place.target / f"default/encrypted/manifests/{backup['id']}",
        "repository.json": place.target / "default/encrypted/repository.json",
    }
    flip(paths[name], 30)
    async with resumed(place) as api:
        job = await scrub(api)
        assert key_of(place, paths[name]) in job["failure"]["message"]
        paths[name].unlink()
        job = await scrub(api)
        assert f"{key_of(place, paths[name])}: lost" in job["failure"]["message"]
        (damage,) = await api.get("/v1/damages")
        assert [one["ranges"] for one in damage["backups"]] == [[[0, CHUNKS * CHUNK_SIZE_BYTES]]]


async def test_a_damaged_footer_hurts_no_restore(place: Place, backup: Any) -> None:
    (path,) = packs_of(place.target, Kind.CHUNK)
    flip(path, path.stat().st_size - 60)
    async with resumed(place) as api:
        await scrub(api)
        (damage,) = await api.get("/v1/damages")
        assert [one["ranges"] for one in damage["backups"]] == [[]]
        await api.restore(backup, place.restores / "disk")


async def test_a_clean_scrub_clears_the_damage(place: Place, backup: Any) -> None:
    (path,) = packs_of(place.target, Kind.CHUNK)
    flip(path, 70)
    async with resumed(place) as api:
        await scrub(api)
        flip(path, 70)
        job = await scrub(api)
        assert job["result"]["cleared_damages"] == 1
        assert await api.get("/v1/damages") == []
        assert (await api.get(f"/v1/backups/{backup['id']}"))["is_damaged"] is False


async def test_what_was_lost_and_is_needed_no_more_is_forgotten(place: Place, backup: Any) -> None:
    (path,) = packs_of(place.target, Kind.CHUNK)
    path.unlink()
    async with resumed(place) as api:
        await scrub(api)
        await api.delete(backup)
        assert (await scrub(api))["state"] == "succeeded"
        assert await api.get("/v1/damages") == []


async def one_object_each(api: Api, place: Place) -> list[int]:
    """Scrub with the least budget until all was, and return the job of each."""
    return [(await scrub(api, bytes=1))["result"]["objects"] for _ in place.objects("**")]


@pytest.mark.usefixtures("backup")
async def test_a_budget_is_kept_and_the_oldest_come_first_also_after_a_restart(place: Place) -> None:
    count = len(place.objects("**"))
    (path,) = packs_of(place.target, Kind.CHUNK)
    async with resumed(place) as api:
        assert await one_object_each(api, place) == [1] * count
    flip(path, 70)
    async with resumed(place) as api:  # Each was scrubbed once: the next round has them in the same order.
        states = [(await scrub(api, bytes=1))["state"] for _ in range(count)]
    assert states.index("failed") < count
    assert states.count("failed") >= 1


@pytest.mark.usefixtures("backup")
async def test_the_next_backup_stores_anew_what_a_damaged_pack_held(place: Place) -> None:
    (path,) = packs_of(place.target, Kind.CHUNK)
    flip(path, 70)
    async with resumed(place) as api:
        await scrub(api)
        later = await api.back_up("disk", mode="incremental")
        assert (await api.verify(later))["state"] == "succeeded"
        restored = await api.restore(later, place.restores / "disk")
    assert restored.read_bytes() == (place.sources / "disk").read_bytes()


async def test_a_verification_is_written_down_with_its_result(place: Place, backup: Any) -> None:
    (path,) = packs_of(place.target, Kind.CHUNK)
    async with resumed(place) as api:
        assert (await api.get(f"/v1/backups/{backup['id']}"))["verification"] is None
        job = await api.verify(backup)
        found = await api.get(f"/v1/backups/{backup['id']}")
        assert found["verification"]["is_whole"] is True
        assert job["started_at"] <= found["verification"]["verified_at"] <= job["finished_at"]
        flip(path, 70)
        await api.verify(backup)
        (found,) = await api.get("/v1/backups")
        assert found["verification"]["is_whole"] is False
        assert "packs/" in found["verification"]["failure"]["message"]
        assert found["is_damaged"] is True
