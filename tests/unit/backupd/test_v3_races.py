"""Requests that come at the same time: nothing that one of them has done is lost, and nothing stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from backupd.application.block_storage.files import Files
from tests.support.v3 import V3, Answer, serve_v3

_ATTACH = {"os-attach": {"host_name": "h", "mountpoint": "/dev/vdb"}}


@pytest.fixture
async def v3(tmp_path: Path) -> AsyncIterator[V3]:
    async with serve_v3(tmp_path) as served:
        yield served


async def at_once(v3: V3, *requests: tuple[str, str, Any]) -> list[int]:
    """Send all of them at once and return their statuses."""
    async with asyncio.TaskGroup() as group:
        asked: list[asyncio.Task[Answer]] = [group.create_task(v3.ask(*request)) for request in requests]
    return [task.result().status for task in asked]


async def used(v3: V3) -> dict[str, int]:
    return dict((await v3.get("/limits"))["limits"]["absolute"])


async def add_snapshot(v3: V3, volume_id: str) -> str:
    snapshot_id = (await v3.post("/snapshots", {"snapshot": {"volume_id": volume_id}}))["snapshot"]["id"]
    await v3.work()
    return str(snapshot_id)


async def test_a_volume_that_is_extended_twice_at_once_is_charged_for_what_it_has(v3: V3) -> None:
    volume_id = await v3.add_volume(1)
    path = f"/volumes/{volume_id}/action"
    statuses = await at_once(v3, *[("POST", path, {"os-extend": {"new_size": size}}) for size in (9, 5, 7, 3)])
    assert set(statuses) <= {202, 400}
    assert (await used(v3))["totalGigabytesUsed"] == (await v3.volume(volume_id))["size"]


async def test_a_file_that_was_extended_further_meanwhile_keeps_its_end(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    path.write_bytes(b"x" * 5000)
    with ThreadPoolExecutor(1) as executor:
        await Files(directory=tmp_path, executor=executor).extend(path, 3000)
    assert path.stat().st_size == 5000


async def test_a_cascade_that_would_stop_at_the_volume_takes_no_snapshot(v3: V3) -> None:
    volume_id = await v3.add_volume()
    snapshot_id = await add_snapshot(v3, volume_id)
    await v3.post(f"/volumes/{volume_id}/action", _ATTACH)
    assert (await v3.refused(f"/volumes/{volume_id}?cascade=true", None, method="DELETE"))[0] == 400
    assert (await v3.get(f"/snapshots/{snapshot_id}"))["snapshot"]["status"] == "available"


async def test_a_cascade_takes_all_snapshots_or_none(v3: V3) -> None:
    volume_id = await v3.add_volume()
    whole = await add_snapshot(v3, volume_id)
    await v3.post("/snapshots", {"snapshot": {"volume_id": volume_id}})  # Still being made.
    assert (await v3.refused(f"/volumes/{volume_id}?cascade=true", None, method="DELETE"))[0] == 400
    assert (await v3.get(f"/snapshots/{whole}"))["snapshot"]["status"] == "available"
    await v3.work()
    assert (await v3.ask("DELETE", f"/volumes/{volume_id}?cascade=true")).status == 202
    assert (await v3.get("/snapshots"))["snapshots"] == []


async def test_a_volume_is_deleted_or_gets_a_snapshot_never_both(v3: V3) -> None:
    for _ in range(5):
        volume_id = await v3.add_volume()
        new = {"snapshot": {"volume_id": volume_id}}
        made, deleted = await at_once(v3, ("POST", "/snapshots", new), ("DELETE", f"/volumes/{volume_id}", None))
        assert (made, deleted) in ((202, 400), (404, 202), (400, 202))


async def test_of_two_restores_at_once_the_one_that_is_refused_leaves_no_volume(v3: V3) -> None:
    backup_id = await v3.add_backup(await v3.add_volume())
    restore: tuple[str, str, Any] = ("POST", f"/backups/{backup_id}/restore", {"restore": {}})
    assert sorted(await at_once(v3, restore, restore, restore)) == [202, 400, 400]
    assert len((await v3.get("/volumes"))["volumes"]) == 2
    assert (await used(v3))["totalVolumesUsed"] == 2


async def test_metadata_that_are_added_at_once_are_all_there(v3: V3) -> None:
    volume_id = await v3.add_volume()
    snapshot_id = await add_snapshot(v3, volume_id)
    wanted = {f"k{number}": "v" for number in range(6)}
    for path in (f"/volumes/{volume_id}/metadata", f"/snapshots/{snapshot_id}/metadata"):
        added = await at_once(v3, *[("POST", path, {"metadata": {key: "v"}}) for key in wanted])
        assert set(added) == {200}
        assert (await v3.get(path))["metadata"] == wanted
    items = [("PUT", f"/volumes/{volume_id}/metadata/k{number}", {"meta": {f"k{number}": "w"}}) for number in range(3)]
    gone = [("DELETE", f"/volumes/{volume_id}/metadata/k{number}", None) for number in range(3, 6)]
    assert set(await at_once(v3, *items, *gone)) == {200}
    assert (await v3.get(f"/volumes/{volume_id}/metadata"))["metadata"] == {"k0": "w", "k1": "w", "k2": "w"}


async def test_what_a_backup_of_a_smaller_snapshot_takes_is_what_it_gives_back(v3: V3) -> None:
    volume_id = await v3.add_volume(1)
    snapshot_id = await add_snapshot(v3, volume_id)
    await v3.post(f"/volumes/{volume_id}/action", {"os-extend": {"new_size": 3}})
    backup_id = await v3.add_backup(volume_id, snapshot_id=snapshot_id)
    assert (await used(v3))["totalBackupGigabytesUsed"] == 1
    assert (await v3.ask("DELETE", f"/backups/{backup_id}")).status == 202
    await v3.work()
    assert (await used(v3))["totalBackupGigabytesUsed"] == 0


async def test_a_text_that_only_looks_like_a_zero_byte_is_a_text(v3: V3) -> None:
    backup_id = await v3.add_backup(await v3.add_volume(), name="a\\u0000b")
    assert (await v3.backup(backup_id))["name"] == "a\\u0000b"
    assert (await v3.refused("/volumes", {"volume": {"size": 1, "name": "a\0b"}}))[0] == 400


async def test_a_volume_that_no_file_can_hold_is_400(v3: V3) -> None:
    assert (await v3.refused("/volumes", {"volume": {"size": 2**31 - 1}}))[0] == 400
    assert (await used(v3))["totalGigabytesUsed"] == 0


async def test_a_volume_that_several_servers_would_share_is_400(v3: V3) -> None:
    await v3.add_volume(multiattach=False)
    for value in (True, "yes", "perhaps"):
        assert (await v3.refused("/volumes", {"volume": {"size": 1, "multiattach": value}}))[0] == 400


async def test_only_what_is_attached_is_detached_and_becomes_available(v3: V3) -> None:
    volume_id = await v3.add_volume()
    path = f"/volumes/{volume_id}/action"
    await v3.post(path, {"os-reset_status": {"status": "error"}})
    assert (await v3.refused(path, {"os-detach": {}}))[0] == 400
    assert (await v3.volume(volume_id))["status"] == "error"
    await v3.post(path, {"os-reset_status": {"status": "available"}})
    await v3.post(path, _ATTACH)
    await v3.start_backup(volume_id, force=True)
    await v3.post(path, {"os-detach": {}})
    await v3.work()
    assert (await v3.volume(volume_id))["status"] == "available"
