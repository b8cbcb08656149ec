"""The policy of each volume as an operator sees it: where backups go, how they are stored, how long they stay."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backupd.clock import SystemClock
from targets.local import LocalTarget
from tests.support.daemon import ROOT, Daemon, Place, serving
from tests.support.repositories import open_existing
from tests.support.volumes import random_bytes

SIZE_BYTES = 300_000
CONTENT = random_bytes(SIZE_BYTES)
MORE = """
[targets.second]
url = "file://{root}/second"
[retention.two]
keep_last = 2
[backup_types.here]
target = "local"
[backup_types.there]
target = "second"
chunk_size_bytes = 65536
compression_level = 0
is_encrypted = false
[backup_types.both]
target = "local"
copies = ["second"]
quorum = 2
[backup_types.thin]
target = "local"
retention = "two"
[policy]
default_backup_type = "here"
request_backup_types = ["here", "both"]
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "second").mkdir()
    return Place(tmp_path, more=MORE)


@pytest.fixture
async def daemon(place: Place) -> AsyncIterator[Daemon]:
    async with serving(place) as daemon:
        yield daemon


def run(daemon: Daemon, *arguments: str) -> Any:
    code, answer = daemon.backupctl(*arguments)
    assert code == 0, answer
    return answer


async def add_volume(daemon: Daemon, name: str, backup_type: str | None = None) -> Any:
    path = daemon.place.sources / name
    path.write_bytes(CONTENT)
    return await daemon.post("/v1/volumes", {"name": name, "path": str(path), "backup_type": backup_type})


def manifests(place: Place, directory: str) -> set[str]:
    """Return the ids of the backups that a target has."""
    return {path.name for path in (place.root / directory).glob("default/*/manifests/**/*") if path.is_file()}


async def is_restored(daemon: Daemon, backup: Any, content: bytes = CONTENT) -> bool:
    return (await daemon.restore(backup, daemon.place.restores / backup["id"])).read_bytes() == content


async def test_two_volumes_go_to_two_targets_by_their_types(daemon: Daemon) -> None:
    await add_volume(daemon, "one", "here")
    await add_volume(daemon, "two", "there")
    here, there = await daemon.back_up("one"), await daemon.back_up("two")
    assert (here["target"], there["target"]) == ("local", "second")
    assert manifests(daemon.place, "target") == {here["id"]}
    assert manifests(daemon.place, "second") == {there["id"]}
    assert await is_restored(daemon, here)
    assert await is_restored(daemon, there)


async def test_one_volume_goes_to_two_targets(daemon: Daemon) -> None:
    await add_volume(daemon, "disk", "both")
    backup = await daemon.back_up("disk")
    assert manifests(daemon.place, "target") == manifests(daemon.place, "second") == {backup["id"]}


async def test_p1_exact_without_compression(daemon: Daemon) -> None:
    await add_volume(daemon, "disk", "there")
    content = b"the same again, " * (SIZE_BYTES // 16)
    (daemon.place.sources / "disk").write_bytes(content)
    backup = await daemon.back_up("disk")
    assert backup["compression_level"] == 0
    assert backup["statistics"]["stored_bytes"] > backup["statistics"]["new_bytes"]
    assert await is_restored(daemon, backup, content)


async def test_a_volume_without_a_type_has_the_default_of_its_project(daemon: Daemon) -> None:
    volume = await add_volume(daemon, "disk")
    assert (volume["backup_type_id"], volume["backup_type"], volume["backup_type_from"]) == (
        None,
        "here",
        "project default",
    )
    assert (await daemon.back_up("disk"))["target"] == "local"


async def test_a_request_names_only_a_type_that_it_may(daemon: Daemon) -> None:
    await add_volume(daemon, "disk")
    await daemon.back_up("disk")
    backup = await daemon.back_up("disk", backup_type="both")
    assert backup["mode"] == "full"
    assert 'backup type "both" has copies second' in backup["full_read_reason"]
    repository = await open_existing(LocalTarget(daemon.place.target), daemon.place.root / "state" / "master.key")
    manifest = await repository.manifest(backup["id"])
    await repository.target.aclose()
    assert manifest is not None
    assert manifest.full_read_reason == backup["full_read_reason"]  # The target alone says why, too.
    status, problem = await daemon.ask("/v1/backups", {"volume": "disk", "backup_type": "there"})
    assert (status, problem["code"]) == (400, "request.invalid")
    assert problem["detail"].startswith('backup_type = "there": expected one of both, here')
    status, problem = await daemon.ask("/v1/backups", {"volume": "disk", "backup_type": "both", "mode": "incremental"})
    assert status == 202
    await daemon.succeeded(problem["job"])


async def test_another_type_leaves_old_backups_as_they_are(daemon: Daemon) -> None:
    await add_volume(daemon, "disk", "here")
    old = await daemon.back_up("disk")
    assert run(daemon, "volume", "set-type", "disk", "there")["backup_type"] == "there"
    new = await daemon.back_up("disk")
    assert (new["target"], new["chunk_size_bytes"], new["is_encrypted"], new["mode"]) == (
        "second",
        65536,
        False,
        "full",
    )
    assert await daemon.get(f"/v1/backups/{old['id']}") == old
    assert await is_restored(daemon, old)
    assert await is_restored(daemon, new)
    assert run(daemon, "volume", "set-type", "disk", "--default")["backup_type"] == "here"
    assert (await daemon.back_up("disk", mode="incremental"))["parent_id"] == old["id"]


async def test_a_type_that_the_file_changes_leaves_old_backups_as_they_are(place: Place) -> None:
    async with serving(place) as daemon:
        await add_volume(daemon, "disk", "thin")
        old = await daemon.back_up("disk")
        thin = await daemon.get("/v1/backup-types/thin")
    place.more = MORE.replace('target = "local"\nretention = "two"', 'target = "second"\ncompression_level = 9')
    place.configure()
    async with serving(place) as daemon:
        changed = await daemon.get("/v1/backup-types/thin")
        assert (changed["id"], changed["target"], changed["retention"]) == (thin["id"], "second", None)
        new = await daemon.back_up("disk")
        assert (new["target"], new["compression_level"]) == ("second", 9)
        assert await daemon.get(f"/v1/backups/{old['id']}") == old
        assert await is_restored(daemon, old)
        assert await is_restored(daemon, new)


async def test_a_type_of_the_file_is_not_removed_by_a_request(daemon: Daemon) -> None:
    code, complaint = daemon.backupctl("type", "remove", "thin")
    assert code == 5
    assert "only [backup_types.thin] changes it" in complaint
    assert (await daemon.get("/v1/backup-types/thin"))["is_configured"]


async def test_a_type_outlives_its_target_and_says_so(place: Place) -> None:
    async with serving(place) as daemon:
        run(daemon, "type", "add", "own", "--target", "second", "--retention", "two")
    place.more = "\n"
    place.configure()
    async with serving(place) as daemon:
        shown = run(daemon, "type", "show", "own")
        assert [problem.partition(" = ")[0] for problem in shown["problems"]] == ["target", "retention"]
        assert shown["targets"] == [{"name": "second", "conditional_put": None, "object_size_bytes_max": None}]
    assert 'backup type "own" cannot be used as it is: target = "second"' in (place.root / "daemon.log").read_text()


def test_a_policy_that_names_no_type_keeps_the_daemon_from_starting(place: Place) -> None:
    place.more = MORE.replace('default_backup_type = "here"', 'default_backup_type = "gold"')
    place.configure()
    command = [sys.executable, "-m", "backupd", "serve", "--config", str(place.config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode != 0
    assert "policy.default_backup_type = 'gold': expected a backup type: both, here, there, thin" in done.stderr


async def test_retention_deletes_what_it_says(daemon: Daemon) -> None:
    await add_volume(daemon, "disk", "here")
    backups = [await daemon.back_up("disk") for _ in range(3)]
    run(daemon, "volume", "set-type", "disk", "thin")
    said = run(daemon, "volume", "retention", "disk")["backups"]
    assert [(one["id"], one["is_kept"]) for one in said] == [
        (backups[2]["id"], True),
        (backups[1]["id"], True),
        (backups[0]["id"], False),
    ]
    assert len(await available(daemon)) == 3
    backups.append(await daemon.back_up("disk"))
    while len(manifests(daemon.place, "target")) > 2:
        await SystemClock().sleep(0.02)
    kept = {backups[2]["id"], backups[3]["id"]}
    assert await available(daemon) == manifests(daemon.place, "target") == kept
    assert all(one["is_kept"] for one in run(daemon, "volume", "retention", "disk")["backups"])
    assert await is_restored(daemon, backups[2])
    assert await is_restored(daemon, backups[3])


async def available(daemon: Daemon) -> set[str]:
    listed = await daemon.get("/v1/backups?volume=disk")
    return {backup["id"] for backup in listed if backup["state"] == "available"}
