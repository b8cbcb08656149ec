"""Backups on several targets: each has all of it, or gets it as soon as it can."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backupd.clock import SystemClock
from backupd.repository import keyring
from backupd.repository.repository import new_description
from tests.support.daemon import Daemon, Place, serving
from tests.support.volumes import random_bytes

MIB = 1024 * 1024
MORE = """
[targets.second]
url = "file://{root}/second"
[targets.third]
url = "file://{root}/third"
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in ("second", "third"):
        (tmp_path / name).mkdir()
    return Place(tmp_path, more=MORE)


@pytest.fixture
async def daemon(place: Place) -> AsyncIterator[Daemon]:
    async with serving(place) as daemon:
        yield daemon


@pytest.fixture
def disk(place: Place) -> Path:
    path = place.sources / "disk"
    path.write_bytes(random_bytes(5 * MIB + 123, seed=1))
    return path


@contextmanager
def gone(place: Place, name: str) -> Iterator[None]:
    """Take a target away for a while."""
    root = place.root / ("target" if name == "local" else name)
    away = root.with_name(f"{root.name}-away")
    root.rename(away)
    yield
    away.rename(root)


async def states(daemon: Daemon, backup: Any) -> dict[str, str]:
    shown = await daemon.get(f"/v1/backups/{backup['id']}")
    return {copy["target"]: copy["state"] for copy in shown["copies"]}


async def caught_up(daemon: Daemon, backup: Any) -> None:
    """Return when every target has all of it."""
    while "lagging" in (await states(daemon, backup)).values():
        await SystemClock().sleep(0.05)


async def test_p1_exact_from_any_target_while_the_other_is_away(daemon: Daemon, disk: Path) -> None:
    volume = await daemon.add_volume(disk, copies=["second"], quorum=2)
    backup = await daemon.back_up(volume)
    assert await states(daemon, backup) == {"local": "complete", "second": "complete"}
    for away in ("local", "second"):
        with gone(daemon.place, away):
            restored = await daemon.restore(backup, daemon.place.restores / f"without-{away}")
            assert restored.read_bytes() == disk.read_bytes()


async def test_a_target_that_was_away_catches_up_by_itself(daemon: Daemon, disk: Path) -> None:
    volume = await daemon.add_volume(disk, copies=["second"])
    await daemon.back_up(volume)
    with gone(daemon.place, "second"):
        first = await daemon.back_up(volume, mode="full")
        assert await states(daemon, first) == {"local": "complete", "second": "lagging"}
        content = disk.read_bytes()
        disk.write_bytes(random_bytes(MIB, seed=2) + content[MIB:])
        second = await daemon.back_up(volume)
    for backup in (first, second):
        await caught_up(daemon, backup)
    with gone(daemon.place, "local"):
        for backup, expected in ((first, content), (second, disk.read_bytes())):
            restored = await daemon.restore(backup, daemon.place.restores / backup["id"])
            assert restored.read_bytes() == expected


async def test_a_target_that_waits_for_an_earlier_backup_gets_no_later_one_before(daemon: Daemon, disk: Path) -> None:
    volume = await daemon.add_volume(disk, copies=["second"])
    await daemon.back_up(volume)
    disk.write_bytes(random_bytes(5 * MIB, seed=4))
    with gone(daemon.place, "second"):
        await daemon.back_up(volume)
    backup = await daemon.back_up(volume)
    await caught_up(daemon, backup)
    with gone(daemon.place, "local"):
        restored = await daemon.restore(backup, daemon.place.restores / "disk")
        assert restored.read_bytes() == disk.read_bytes()


async def test_no_repository_is_made_while_a_target_might_hold_one(daemon: Daemon, disk: Path) -> None:
    volume = await daemon.add_volume(disk, copies=["second"])
    with gone(daemon.place, "second"):
        job = await daemon.ended(await daemon.start_backup(volume))
    assert job["failure"]["code"] == "target.gone"
    assert "no repository is made" in job["failure"]["message"]
    assert daemon.place.objects() == {}
    await daemon.back_up(volume)


async def test_fewer_copies_than_the_quorum_are_a_failure(daemon: Daemon, disk: Path) -> None:
    volume = await daemon.add_volume(disk, copies=["second"], quorum=2)
    await daemon.back_up(volume)
    with gone(daemon.place, "second"):
        job = await daemon.ended(await daemon.start_backup(volume))
    assert job["failure"]["code"] == "target.gone"
    backup = await daemon.get(f"/v1/backups/{job['backup_id']}")
    assert (backup["state"], backup["copies"]) == ("error", [])
    assert len(daemon.place.objects("manifests")) == 1


async def test_a_backup_is_deleted_from_every_target(daemon: Daemon, disk: Path) -> None:
    volume = await daemon.add_volume(disk, copies=["second", "third"], quorum=3)
    backup = await daemon.back_up(volume)
    assert len([*daemon.place.root.glob("*/default/encrypted/manifests/*")]) == 3
    await daemon.delete(backup)
    assert [*daemon.place.root.glob("*/default/encrypted/manifests/*")] == []


async def test_a_repository_is_replicated_and_only_what_is_missing_moves(daemon: Daemon, disk: Path) -> None:
    volume = await daemon.add_volume(disk)
    backups = [await daemon.back_up(volume, mode="full") for _ in range(2)]
    request = {"source": "local", "target": "third"}
    await daemon.succeeded((await daemon.post("/v1/replications", request))["job"])
    sent_bytes = (await daemon.get("/v1/targets/third"))["traffic"]["sent_bytes"]
    assert sent_bytes > 5 * MIB
    await daemon.succeeded((await daemon.post("/v1/replications", request))["job"])
    assert (await daemon.get("/v1/targets/third"))["traffic"]["sent_bytes"] == sent_bytes
    for backup in backups:
        assert (await states(daemon, backup))["third"] == "complete"
        restored = await daemon.restore(backup, daemon.place.restores / backup["id"], target="third")
        assert restored.read_bytes() == disk.read_bytes()


async def test_one_backup_is_copied_to_one_more_target(daemon: Daemon, disk: Path) -> None:
    volume = await daemon.add_volume(disk)
    first, second = await daemon.back_up(volume), await daemon.back_up(volume)
    for backup in (first, second):
        await daemon.succeeded((await daemon.post("/v1/copies", {"backup": backup["id"], "target": "third"}))["job"])
    status, problem = await daemon.ask("/v1/copies", {"backup": first["id"], "target": "third"})
    assert (status, problem["code"]) == (409, "conflict")
    with gone(daemon.place, "local"):
        restored = await daemon.restore(second, daemon.place.restores / "disk", target="third")
        assert restored.read_bytes() == disk.read_bytes()


async def test_p3_tell_a_damaged_pack_is_not_passed_on(daemon: Daemon, disk: Path) -> None:
    backup = await daemon.back_up(await daemon.add_volume(disk))
    pack = next(path for path in daemon.place.target.glob("default/*/packs/*/*") if path.stat().st_size > MIB)
    content = bytearray(pack.read_bytes())
    content[1000] ^= 1
    pack.write_bytes(content)
    answer = await daemon.post("/v1/copies", {"backup": backup["id"], "target": "third"})
    job = await daemon.ended(answer["job"])
    assert job["failure"]["code"] == "repository.corrupt"
    assert pack.name in job["failure"]["message"]
    assert [*daemon.place.root.glob("third/default/*/manifests/*")] == []
    assert [*daemon.place.root.glob(f"third/default/*/packs/*/{pack.name}")] == []


async def test_a_target_that_backups_of_other_volumes_went_to_takes_copies(daemon: Daemon, disk: Path) -> None:
    other = daemon.place.sources / "other"
    other.write_bytes(random_bytes(MIB, seed=3))
    backup = await daemon.back_up(await daemon.add_volume(disk))
    await daemon.back_up(await daemon.add_volume(other, target="second"))
    answer = await daemon.post("/v1/copies", {"backup": backup["id"], "target": "second"})
    assert (await daemon.ended(answer["job"]))["state"] == "succeeded"
    with gone(daemon.place, "local"):
        restored = await daemon.restore(backup, daemon.place.restores / "disk")
        assert restored.read_bytes() == disk.read_bytes()


async def test_a_target_with_a_repository_of_its_own_takes_no_copies(daemon: Daemon, disk: Path) -> None:
    backup = await daemon.back_up(await daemon.add_volume(disk))
    keys = keyring.load(daemon.place.root / "state" / "master.key")
    theirs = daemon.place.root / "second" / "default" / "encrypted" / "repository.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(new_description(keys, is_encrypted=True, created_at="2026-11-24T03:00:00+00:00"))
    answer = await daemon.post("/v1/copies", {"backup": backup["id"], "target": "second"})
    job = await daemon.ended(answer["job"])
    assert job["failure"]["code"] == "repository.mismatch"
    assert "another prefix" in job["failure"]["message"]


async def test_what_is_read_back_is_counted_and_must_be_right(daemon: Daemon, disk: Path) -> None:
    volume = await daemon.add_volume(disk, verify_bytes=2**40)
    before = (await daemon.get("/v1/targets/local"))["traffic"]["received_bytes"]
    await daemon.back_up(volume)
    assert (await daemon.get("/v1/targets/local"))["traffic"]["received_bytes"] - before > 5 * MIB


async def test_a_target_is_probed_and_shows_what_it_does(daemon: Daemon) -> None:
    assert (await daemon.get("/v1/targets/local"))["probe"] is None
    await daemon.succeeded((await daemon.post("/v1/targets/local/probe", {"quick": True}))["job"])
    probe = (await daemon.get("/v1/targets/local"))["probe"]
    assert probe["unfit_because"] == []
    assert {check["name"]: check["outcome"] for check in probe["checks"]}["conditional_put_race"] == "ok"
    code, shown = daemon.backupctl("target", "probe", "third", "--quick", "--wait")
    assert (code, shown["probe"]["unfit_because"]) == (0, [])
