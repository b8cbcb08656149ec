"""P7: the commands for master keys, on repositories of two targets."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path
from typing import Any

import pytest

from backupd import key_commands
from backupd.config import Config, load
from backupd.errors import BackupdError, Conflict, KeyMismatch
from backupd.repository import description, keyring
from tests.support.api import Api
from tests.support.crashes import resumed
from tests.support.daemon import Place
from tests.support.prepared import copied, prepare

CONTENT = b"secret " * 10_000


async def fill(api: Api, place: Place) -> None:
    (place.sources / "disk").write_bytes(CONTENT)
    await api.back_up(await api.add_volume(place.sources / "disk", copies=["second"], quorum=2))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("saved"), fill)


@pytest.fixture
def place(saved: Path, tmp_path: Path) -> Place:
    return copied(saved, tmp_path)


@pytest.fixture
def config(place: Place) -> Config:
    return load(place.config)


def keys_in_use(place: Place) -> list[str]:
    paths = [root / "default/encrypted/repository.json" for root in (place.target, place.root / "second")]
    return [description.master_key_of(path.read_bytes()) for path in paths]


def key_file(place: Place) -> Path:
    return place.root / "state" / "master.key"


async def restored(place: Place, name: str) -> Any:
    async with resumed(place) as api:
        (backup,) = await api.get("/v1/backups")
        return (await api.restore(backup, place.restores / name)).read_bytes()


async def test_a_rotated_key_opens_every_repository_and_the_old_one_can_go(place: Place, config: Config) -> None:
    old = keyring.load(key_file(place)).current_fingerprint
    told = await key_commands.rotate(config)
    new = keyring.load(key_file(place)).current_fingerprint
    assert keys_in_use(place) == [new, new]
    assert sum(line.endswith(": rewrapped") for line in told) == 2
    await key_commands.retire(config, old)
    assert keyring.load(key_file(place)).fingerprints == (new,)
    assert await restored(place, "disk") == CONTENT


async def test_p7_closed_a_key_file_that_cannot_be_written_whole_stays_as_it_was(place: Place, config: Config) -> None:
    before = key_file(place).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))  # The system writes a part of two keys.
    try:
        with pytest.raises(KeyMismatch, match="cannot be written: file too large; it is as it was"):
            await key_commands.rotate(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert key_file(place).read_bytes() == before


async def test_p7_closed_a_rotation_reaches_projects_that_no_configuration_names(place: Place, config: Config) -> None:
    old = keyring.load(key_file(place)).current_fingerprint
    theirs = place.target / "of-keystone/encrypted/repository.json"
    (place.target / "default").rename(place.target / "of-keystone")
    kept = theirs.read_bytes()
    await key_commands.rotate(config)
    assert description.master_key_of(theirs.read_bytes()) == keyring.load(key_file(place)).current_fingerprint
    theirs.write_bytes(kept)
    with pytest.raises(Conflict, match="is needed by target local: of-keystone/encrypted/"):
        await key_commands.retire(config, old)


async def test_p7_closed_a_rotation_names_what_it_could_not_rewrap_and_goes_on(place: Place, config: Config) -> None:
    old = keyring.load(key_file(place)).current_fingerprint
    kept = (place.root / "second/default/encrypted/repository.json").read_bytes()
    garbled = place.root / "second/default/encrypted/repository.json"
    garbled.write_bytes(kept[:-1])
    with pytest.raises(BackupdError, match=r"target second: default/encrypted/: NOT rewrapped"):
        await key_commands.rotate(config)
    garbled.write_bytes(kept)
    with pytest.raises(Conflict, match="is needed by target second: default/encrypted/"):
        await key_commands.retire(config, old)
    assert await restored(place, "between") == CONTENT
    await key_commands.rewrap_all(config)
    assert keys_in_use(place) == [keyring.load(key_file(place)).current_fingerprint] * 2
    await key_commands.retire(config, old)


async def test_p7_closed_the_current_key_is_not_let_go(place: Place, config: Config) -> None:
    current = keyring.load(key_file(place)).current_fingerprint
    with pytest.raises(Conflict, match=f"key {current} is the current one"):
        await key_commands.retire(config, current)


async def test_p7_closed_an_exported_key_brings_everything_back(place: Place, config: Config) -> None:
    paper = place.root / "paper.txt"
    key_commands.export(config, to=paper)
    assert paper.stat().st_mode & 0o777 == 0o600
    key_file(place).unlink()
    (told,) = key_commands.take_in(config, origin=paper)
    assert told.endswith("was added")
    (told,) = key_commands.take_in(config, origin=paper)
    assert told.endswith("was there already")
    assert await restored(place, "disk") == CONTENT


async def test_p7_closed_a_mistyped_export_changes_nothing(place: Place, config: Config) -> None:
    paper = place.root / "paper.txt"
    key_commands.export(config, to=paper)
    lines = paper.read_text().splitlines()
    lines[3] = lines[3][:-1] + ("2" if lines[3][-1] != "2" else "3")
    paper.write_text("\n".join(lines))
    before = key_file(place).read_bytes()
    with pytest.raises(KeyMismatch, match=rf"{paper}: line 4 \(line 3 of key [0-9a-f]{{16}}\)"):
        key_commands.take_in(config, origin=paper)
    assert key_file(place).read_bytes() == before


async def test_p7_closed_an_export_never_replaces_a_file(place: Place, config: Config) -> None:
    taken = place.root / "taken"
    taken.write_text("mine")
    with pytest.raises(KeyMismatch, match="expected the name of a new file"):
        key_commands.export(config, to=taken)
    assert taken.read_text() == "mine"
    shutil.rmtree(place.root / "second")
