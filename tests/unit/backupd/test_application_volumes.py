from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backupd.application.backup_types import NewBackupType
from backupd.application.volumes import NewVolume
from backupd.errors import Conflict, InvalidRequest, NotFound
from tests.support.world import PROJECT, World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        yield world


def new_type(**fields: Any) -> NewBackupType:
    return replace(NewBackupType(name="standard", target="local"), **fields)


async def test_a_type_has_the_defaults_of_the_model(world: World) -> None:
    added = await world.application.backup_types.add(new_type())
    assert (added.chunk_size_bytes, added.compression_level) == (256 * 1024, 3)
    assert added.is_encrypted
    assert added.created_at == world.clock.now()
    assert await world.application.backup_types.one("standard") == added
    assert await world.application.backup_types.one(added.id) == added


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "a b"}, 'name = "a b": expected 1 to 128 letters, digits'),
        ({"name": ""}, 'name = "": expected 1 to 128 letters, digits'),
        ({"name": "-a"}, 'name = "-a": expected 1 to 128 letters, digits'),
        ({"name": "a" * 129}, "expected 1 to 128 letters, digits"),
        ({"name": "a\n"}, r'name = "a\n": expected 1 to 128 letters, digits'),
        ({"target": "s3"}, 'target = "s3": expected a target of the configuration: local, other'),
        (
            {"chunk_size_bytes": 100_000},
            "chunk_size_bytes = 100000: expected a power of two from 65536",
        ),
        ({"chunk_size_bytes": 32 * 1024}, "chunk_size_bytes = 32768: expected a power of two from 65536"),
        ({"chunk_size_bytes": 8 * 1024**2}, "chunk_size_bytes = 8388608: expected a power of two from 65536"),
        ({"chunk_size_bytes": 0}, "chunk_size_bytes = 0: expected a power of two from 65536"),
        ({"compression_level": -1}, "compression_level = -1: expected an integer from 0 to 19"),
        ({"compression_level": 20}, "compression_level = 20: expected an integer from 0 to 19"),
        ({"copies": ("s3",)}, 'copies[0] = "s3": expected a target of the configuration: local, other'),
        ({"copies": ("other", "local")}, 'copies[1] = "local": expected each target once'),
        ({"quorum": 0}, "quorum = 0: expected an integer from 1 to 1, the number of targets"),
        ({"copies": ("other",), "quorum": 3}, "quorum = 3: expected an integer from 1 to 2, the number of targets"),
        ({"bytes_per_s": -1}, "bytes_per_s = -1: expected an integer from 0 to 1125899906842624"),
        ({"verify_bytes": 2**60}, "verify_bytes = 1152921504606846976: expected an integer from 0 to 1125899906842624"),
        ({"retention": "long"}, 'retention = "long": expected a retention of the configuration: short'),
        (
            {"quorum": 0, "compression_level": 20},
            "quorum = 0: expected an integer from 1 to 1, the number of targets; ",
        ),
    ],
)
async def test_a_bad_field_of_a_type_is_named(world: World, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await world.application.backup_types.add(new_type(**fields))
    assert message in str(caught.value)
    assert await world.application.backup_types.all() == []


@pytest.mark.parametrize("size_bytes", [64 * 1024, 4 * 1024**2])
async def test_the_smallest_and_the_largest_chunk_are_fine(world: World, size_bytes: int) -> None:
    added = await world.application.backup_types.add(new_type(chunk_size_bytes=size_bytes))
    assert added.chunk_size_bytes == size_bytes


async def test_the_name_of_a_type_is_taken_once(world: World) -> None:
    await world.application.backup_types.add(new_type())
    with pytest.raises(Conflict):
        await world.application.backup_types.add(new_type(target="other"))


async def test_a_type_that_a_volume_uses_stays(world: World) -> None:
    await world.add_volume()
    with pytest.raises(Conflict):
        await world.application.backup_types.remove("standard")


async def test_a_type_that_nothing_uses_goes(world: World) -> None:
    await world.application.backup_types.add(new_type())
    await world.application.backup_types.remove("standard")
    with pytest.raises(NotFound):
        await world.application.backup_types.one("standard")


async def test_a_volume_is_found_by_name_and_by_id(world: World) -> None:
    await world.add_volume("disk")
    (volume,) = await world.application.volumes.all(PROJECT)
    assert volume.path == str(world.sources / "disk.img")
    assert volume.source == (world.sources / "disk.img").as_uri()
    assert await world.application.volumes.one(PROJECT, "disk") == volume
    assert await world.application.volumes.one(PROJECT, volume.id) == volume


async def test_a_volume_needs_a_type_that_is_there(world: World) -> None:
    new = NewVolume(name="disk", path=str(world.sources), backup_type="gold")
    with pytest.raises(NotFound, match="gold"):
        await world.application.volumes.add(PROJECT, new)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "../disk"}, 'name = "../disk": expected 1 to 128 letters'),
        ({"path": "disk.img"}, 'path = "disk.img": expected an absolute path'),
        ({"path": "/etc/passwd"}, 'path = "/etc/passwd": expected a path below'),
        ({"path": None}, "source: missing; expected the address of the volume, or a path"),
        ({"source": "nbd://host/a"}, 'source = "nbd://host/a": expected none, because there is a path'),
        ({"path": None, "source": "/etc/passwd"}, 'path = "/etc/passwd": expected a path below'),
        ({"path": None, "source": "file:///etc/passwd"}, 'path = "/etc/passwd": expected a path below'),
        ({"path": None, "source": "file:///a?direct=1"}, 'source = "file:///a?***": option direct: unknown for file'),
        ({"path": None, "source": "gopher://host/a"}, 'source = "gopher://host/a": expected one of file; gopher is'),
        ({"path": None, "source": "nbd://me:geheim@host/a"}, 'source = "nbd://***@host/a": expected no user'),
    ],
)
async def test_a_bad_field_of_a_volume_is_named(world: World, fields: dict[str, Any], message: str) -> None:
    await world.application.backup_types.add(new_type())
    new = NewVolume(name="disk", path=str(world.sources / "disk.img"), backup_type="standard")
    with pytest.raises(InvalidRequest) as caught:
        await world.application.volumes.add(PROJECT, replace(new, **fields))
    assert message in str(caught.value)
    assert await world.application.volumes.all(PROJECT) == []


async def test_a_volume_with_a_backup_stays(world: World) -> None:
    await world.add_volume()
    await world.add_backup()
    with pytest.raises(Conflict):
        await world.application.volumes.remove(PROJECT, "disk")


async def test_a_volume_without_backups_is_forgotten_and_its_file_stays(world: World) -> None:
    await world.add_volume()
    await world.application.volumes.remove(PROJECT, "disk")
    assert await world.application.volumes.all(PROJECT) == []
    assert (world.sources / "disk.img").exists()


async def test_another_project_sees_no_volume(world: World) -> None:
    await world.add_volume()
    with pytest.raises(NotFound):
        await world.application.volumes.one("another", "disk")


async def test_a_target_shows_neither_user_nor_options(world: World) -> None:
    local, other = world.application.targets.all()
    assert (local.name, local.url) == ("local", "file:///srv/backups")
    assert (other.name, other.url) == ("other", "s3://host/bucket")


async def test_an_unknown_target_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match='no target "s3"; the configuration has local, other'):
        world.application.targets.one("s3")
