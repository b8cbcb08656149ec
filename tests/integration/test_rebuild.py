"""P6: the targets and the master key alone give back the catalog, or a backup without any catalog."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backupd.__main__ import main as backupd
from backupd.offline import run as offline
from tests.support.api import Api
from tests.support.crashes import resumed
from tests.support.daemon import ROOT, Place
from tests.support.damage import flip
from tests.support.prepared import copied, prepare
from tests.support.volumes import guest_like_bytes, random_bytes

CONTENT = guest_like_bytes(1024 * 1024)
LATER = CONTENT[:-4096] + random_bytes(4096)
# What a manifest does not tell (docs/disaster-recovery.md).
UNTOLD = {"compression_level", "verification"}


async def fill(api: Api, place: Place) -> None:
    """Two volumes, one on two targets and with an incremental, one plain."""
    (place.sources / "web").write_bytes(CONTENT)
    (place.sources / "db").write_bytes(LATER)
    await api.back_up(await api.add_volume(place.sources / "web", copies=["second"], quorum=2))
    (place.sources / "web").write_bytes(LATER)
    await api.back_up("web", mode="incremental")
    await api.back_up(await api.add_volume(place.sources / "db", is_encrypted=False))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("saved"), fill)


@pytest.fixture
def place(saved: Path, tmp_path: Path) -> Place:
    return copied(saved, tmp_path)


async def catalog_of(place: Place) -> dict[str, Any]:
    """Return all that the API tells of backups and volumes."""
    async with resumed(place) as api:
        backups = [await api.get(f"/v1/backups/{one['id']}") for one in await api.get("/v1/backups")]
        volumes = await api.get("/v1/volumes")
    kept = [{key: value for key, value in one.items() if key not in UNTOLD} for one in backups]
    return {"backups": kept, "volumes": [(one["id"], one["name"]) for one in volumes]}


def lose_catalog(place: Place) -> None:
    """Leave nothing of the state directory but the key file."""
    key = (place.root / "state" / "master.key").read_bytes()
    shutil.rmtree(place.root / "state")
    (place.root / "state").mkdir(mode=0o700)
    path = place.root / "state" / "master.key"
    path.touch(mode=0o600)
    path.write_bytes(key)


def rebuild(place: Place, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backupd", "rebuild", "--config", str(place.config), *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


async def test_p6_rebuild_gives_the_same_catalog(place: Place) -> None:
    before = await catalog_of(place)
    lose_catalog(place)
    done = rebuild(place)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 backups of 2 volumes" in done.stdout
    assert await catalog_of(place) == before


def test_p3_tell_rebuild_says_that_no_hold_is_left(place: Place) -> None:
    lose_catalog(place)
    assert "WARNING: no target knows which backups were held" in rebuild(place).stdout


async def test_p6_rebuild_what_was_rebuilt_restores_and_goes_on(place: Place) -> None:
    lose_catalog(place)
    assert rebuild(place).returncode == 0
    async with resumed(place) as api:
        for number, backup in enumerate(await api.get("/v1/backups")):
            assert (await api.verify(backup))["state"] == "succeeded"
            content = (await api.restore(backup, place.restores / str(number))).read_bytes()
            assert content == (CONTENT if backup["mode"] == "full" and backup["is_encrypted"] else LATER)
        status, problem = await api.ask("/v1/backups", {"volume": "web"})
        assert status in (400, 409), problem
        async with api._session.put(
            f"{api.url}/v1/volumes/web/source", json={"path": str(place.sources / "web")}
        ) as response:
            assert response.status == 200
        await api.post("/v1/backup-types", {"name": "again", "target": "local", "chunk_size_bytes": 65536})
        async with api._session.patch(f"{api.url}/v1/volumes/web", json={"backup_type": "again"}) as response:
            assert response.status == 200
        assert (await api.back_up("web"))["state"] == "available"


def test_p6_rebuild_finds_projects_that_no_configuration_names(place: Place) -> None:
    lose_catalog(place)
    for target in (place.target, place.root / "second"):
        (target / "default").rename(target / "of-keystone")
    done = rebuild(place)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 backups of 2 volumes" in done.stdout


def test_p3_tell_rebuild_names_backups_that_nothing_tells_how_to_read(place: Place) -> None:
    lose_catalog(place)
    for target in (place.target, place.root / "second"):
        (target / "default/encrypted/repository.json").unlink()
    done = rebuild(place)
    assert done.returncode == 1
    assert "1 backups of 1 volumes" in done.stderr
    for name in ("local", "second"):
        assert f"PROBLEM: target {name}: default/encrypted/ has backups" in done.stderr


async def test_p6_rebuild_never_touches_a_catalog(place: Place) -> None:
    before = (place.root / "state" / "catalog.db").read_bytes()
    done = rebuild(place)
    assert done.returncode == 1
    assert "expected a state directory without a catalog" in done.stderr
    assert (place.root / "state" / "catalog.db").read_bytes() == before


async def test_p7_closed_rebuild_without_the_key_makes_nothing(place: Place) -> None:
    lose_catalog(place)
    key = place.root / "state" / "master.key"
    key.unlink()
    done = rebuild(place)
    assert (done.returncode, list((place.root / "state").iterdir())) == (1, [place.root / "state" / "lock"])
    assert "the master key file is missing" in done.stderr


async def test_p6_rebuild_is_all_or_nothing_when_a_target_is_gone(place: Place) -> None:
    lose_catalog(place)
    shutil.move(place.root / "second", place.root / "elsewhere")
    done = rebuild(place)
    assert done.returncode == 1
    assert "targets.second" in done.stderr
    assert not (place.root / "state" / "catalog.db").exists()
    done = rebuild(place, "--without", "second")
    assert done.returncode == 0, done.stderr
    assert "3 backups" in done.stdout


async def test_p6_rebuild_names_a_manifest_that_is_damaged(place: Place) -> None:
    lose_catalog(place)
    (manifest,) = (place.target / "default/plain/manifests").iterdir()
    flip(manifest, 80)
    done = rebuild(place)
    assert done.returncode == 1
    assert f"PROBLEM: target local: default/plain/manifests/{manifest.name}" in done.stderr
    assert "2 backups of 1 volumes" in done.stderr
    assert (place.root / "state" / "catalog.db").exists()


def test_p7_closed_rebuild_names_where_a_key_is_missing(place: Place) -> None:
    lose_catalog(place)
    path = place.target / "default/encrypted/repository.json"
    body = json.loads(path.read_bytes())
    path.write_bytes(path.read_bytes().replace(body["master_key"].encode(), b"0" * 16))
    done = rebuild(place)
    assert done.returncode == 1
    assert "target local: default/encrypted/repository.json, unless that was altered: master key 0000" in done.stderr
    assert "backupd key import FILE" in done.stderr


def backupctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "backupd.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


async def test_p6_rebuild_a_backup_is_restored_without_daemon_and_database(place: Place) -> None:
    key, url = place.root / "paper.txt", f"file://{place.target}"
    assert backupd(["key", "export", "--config", str(place.config), "--to", str(key)]) == 0
    shutil.rmtree(place.root / "state")
    place.config.unlink()
    listed = json.loads(backupctl("list", "--from", url, "--key", str(key), "--json").stdout)
    assert sorted(one["volume"] for one in listed) == ["db", "web", "web"]
    full = next(one for one in listed if one["mode"] == "full" and one["volume"] == "web")
    shared = ["restore", "--from", url, "--key", str(key)]
    done = backupctl(*shared, "--backup", full["id"], "--to", str(place.restores / "full"))
    assert (done.returncode, done.stderr) == (0, "")
    assert (place.restores / "full").read_bytes() == CONTENT
    assert await offline([*shared, "--volume", "web", "--to", str(place.restores / "latest")]) == 0
    assert (place.restores / "latest").read_bytes() == LATER


async def test_p3_tell_an_offline_restore_names_what_is_damaged(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    key = str(place.root / "state" / "master.key")
    for pack in place.target.glob("default/plain/packs/*/*"):
        flip(pack, 50)
    to = place.restores / "db"
    shared = ["restore", "--from", f"file://{place.target}", "--key", key, "--volume", "db", "--to", str(to)]
    assert await offline(shared) == 1
    assert "packs/" in capsys.readouterr().err
    assert not to.exists()
    assert await offline([*shared, "--allow-damaged"]) == 0
    assert "DAMAGED: zeros stand in bytes 0 to" in capsys.readouterr().out
    assert len(to.read_bytes()) == len(LATER)


async def test_p3_tell_an_offline_restore_takes_no_older_backup_for_the_latest(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = ["--from", f"file://{place.target}", "--key", str(place.root / "state" / "master.key")]
    assert await offline(["list", *shared, "--json"]) == 0
    of_web = [one for one in json.loads(capsys.readouterr().out) if one["volume"] == "web"]
    latest, older = (one["id"] for one in of_web)
    flip(place.target / "default/encrypted/manifests" / latest, 80)
    to = place.restores / "web"
    assert await offline(["restore", *shared, "--volume", "web", "--to", str(to)]) == 1
    error = capsys.readouterr().err
    assert "which backup is the latest is not certain; expected --backup" in error
    assert f"default/encrypted/manifests/{latest}" in error
    assert not to.exists()
    assert await offline(["list", *shared]) == 1
    assert await offline(["restore", *shared, "--backup", older, "--to", str(to)]) == 0


@pytest.mark.parametrize(
    ("more", "complaint", "exit_code"),
    [
        (["--to", "{out}"], "--volume: missing; expected one of db, web", 2),
        (["--volume", "mail", "--to", "{out}"], "the target has no backup of volume mail; it has those of db, web", 4),
        (["--backup", "00000000-0000-0000-0000-000000000000", "--to", "{out}"], "the target has no backup", 4),
        (["--volume", "web", "--to", "/etc/hostname"], "--to /etc/hostname: exists", 2),
    ],
)
async def test_an_offline_restore_that_cannot_be_says_what_was_expected(
    place: Place, capsys: pytest.CaptureFixture[str], more: list[str], complaint: str, exit_code: int
) -> None:
    key = str(place.root / "state" / "master.key")
    arguments = [one.format(out=place.restores / "out") for one in more]
    assert await offline(["restore", "--from", f"file://{place.target}", "--key", key, *arguments]) == exit_code
    assert complaint in capsys.readouterr().err


def test_an_offline_restore_refuses_what_is_no_project(place: Place) -> None:
    key = str(place.root / "state" / "master.key")
    done = backupctl("list", "--from", f"file://{place.target}", "--key", key, "--project", "Not_One")
    assert done.returncode == 2
    assert "project 'Not_One': expected up to 64" in done.stderr


async def test_an_offline_restore_goes_to_where_it_was_called(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.restores)
    key = str(place.root / "state" / "master.key")
    arguments = ["--from", f"file://{place.target}", "--key", key, "--volume", "web", "--to", "latest"]
    assert await offline(["restore", *arguments]) == 0
    assert (place.restores / "latest").read_bytes() == LATER


async def test_p7_closed_offline_the_wrong_key_is_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    other = place.root / "other.key"
    other.write_text("backupd-master-key-1:" + "00" * 32 + ":" + "b" * 8 + "\n")
    assert await offline(["list", "--from", f"file://{place.target}", "--key", str(other)]) == 1
    assert f"{other}: line 1: the key does not match its checksum" in capsys.readouterr().err
