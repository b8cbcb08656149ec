"""Damage of packs that a compaction has made is told with who needs it, and repaired, through the forwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.repository import forward, layout
from backupd.repository.forward import Place as Moved
from chunker.digest import Kind
from chunker.pack import PackWriter
from tests.support.api import CHUNK_SIZE_BYTES, Api
from tests.support.crashes import resumed
from tests.support.daemon import Place
from tests.support.damage import entries_of, flip, packs_of, repair, scrub
from tests.support.prepared import copied, prepare
from tests.support.volumes import guest_like_bytes

NEW_PACK_ID = bytes(range(16))
CONTENT = guest_like_bytes(8 * CHUNK_SIZE_BYTES)


async def fill(api: Api, place: Place) -> None:
    (place.sources / "disk").write_bytes(CONTENT)
    await api.back_up(await api.add_volume(place.sources / "disk", copies=["second"], quorum=2))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("saved"), fill)


@pytest.fixture
def place(saved: Path, tmp_path: Path) -> Place:
    return copied(saved, tmp_path)


def compact(place: Place) -> Path:
    """Move every frame of the pack of chunks, last one first, to a new pack; return where that is."""
    (old,) = packs_of(place.target, Kind.CHUNK)
    body = memoryview(old.read_bytes())
    writer = PackWriter(NEW_PACK_ID, memoryview(bytearray(len(body))))
    moved = {}
    for entry in reversed(entries_of(old)):
        put = writer.append(entry.kind, entry.id, body[entry.offset : entry.offset + entry.length])
        moved[entry.offset] = Moved(NEW_PACK_ID, put.offset, put.length)
    root, old_id = place.target / "default/encrypted", bytes.fromhex(old.name)
    paths = {layout.pack(NEW_PACK_ID): bytes(writer.seal()), layout.forward(old_id): forward.encode(old_id, moved)}
    for key, content in paths.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(content)
    old.unlink()
    return root / layout.pack(NEW_PACK_ID)


async def test_a_compacted_repository_is_clean(place: Place) -> None:
    compact(place)
    async with resumed(place) as api:
        assert (await scrub(api))["state"] == "succeeded"


async def test_p3_tell_damage_of_a_moved_frame_comes_with_who_needs_it(place: Place) -> None:
    path = compact(place)
    flip(path, entries_of(path)[1].offset + 50)
    async with resumed(place) as api:
        await scrub(api)
        (damage,) = await api.get("/v1/damages")
    assert [one["ranges"] for one in damage["backups"]] == [[[6 * CHUNK_SIZE_BYTES, CHUNK_SIZE_BYTES]]]


@pytest.mark.parametrize("has_volume", [True, False])
async def test_a_moved_frame_is_repaired(place: Place, has_volume: bool) -> None:
    path = compact(place)
    before = path.read_bytes()
    flip(path, entries_of(path)[1].offset + 50)
    if not has_volume:  # Then the other target has it, where it was before the compaction of this one.
        (place.sources / "disk").write_bytes(bytes(len(CONTENT)))
    async with resumed(place) as api:
        await scrub(api)
        assert (await repair(api))["state"] == "succeeded"
        assert (await scrub(api))["state"] == "succeeded"
    assert path.read_bytes() == before


async def test_a_lost_forward_is_made_good_by_the_pack_of_another_target(place: Place) -> None:
    compact(place)
    (lost,) = (place.target / "default/encrypted/forward").glob("*/*")
    lost.unlink()
    async with resumed(place) as api:
        job = await scrub(api)
        assert f"packs/{lost.parent.name}/{lost.name}: lost" in job["failure"]["message"]
        assert (await repair(api))["state"] == "succeeded"
        assert (await scrub(api))["state"] == "succeeded"
