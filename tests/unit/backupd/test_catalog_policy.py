from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from backupd.catalog.store import Catalog
from backupd.errors import Conflict, NotFound
from backupd.model import JobKind, JobState
from tests.support.builders import (
    PROJECT,
    START,
    add_available,
    add_creating,
    add_volume,
    claim,
    finish,
    make_backup_type,
    make_job,
    make_volume,
)
from tests.support.catalogs import open_catalog
from tests.support.virtual_clock import VirtualClock


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    async with open_catalog(tmp_path / "catalog.sqlite", VirtualClock()) as catalog:
        yield catalog


async def test_a_backup_type_is_found_by_id_and_by_name(catalog: Catalog) -> None:
    added = make_backup_type(chunk_size_bytes=65536, is_encrypted=False)
    await catalog.add_backup_type(added)
    assert await catalog.backup_type(added.id) == await catalog.backup_type(added.name) == added


async def test_an_id_comes_before_a_name(catalog: Catalog) -> None:
    wanted = make_backup_type()
    await catalog.add_backup_type(make_backup_type(name=wanted.id))
    await catalog.add_backup_type(wanted)
    assert await catalog.backup_type(wanted.id) == wanted


async def test_an_instant_keeps_its_microseconds_in_any_zone(catalog: Catalog) -> None:
    instant = (START + timedelta(microseconds=1)).astimezone(timezone(timedelta(hours=5, minutes=30)))
    added = make_backup_type(created_at=instant)
    await catalog.add_backup_type(added)
    found = (await catalog.backup_type(added.id)).created_at
    assert (found, found.utcoffset()) == (instant, timedelta(0))


async def test_the_name_of_a_backup_type_is_taken_once(catalog: Catalog) -> None:
    await catalog.add_backup_type(make_backup_type(name="fast"))
    with pytest.raises(Conflict, match="name 'fast': there is a backup type of that name"):
        await catalog.add_backup_type(make_backup_type(name="fast"))
    assert len(await catalog.backup_types()) == 1


async def test_a_backup_type_in_use_is_not_deleted(catalog: Catalog) -> None:
    volume = await add_volume(catalog)
    (backup_type,) = await catalog.backup_types()
    with pytest.raises(Conflict, match=volume.name):
        await catalog.delete_backup_type(backup_type.id)
    await catalog.delete_volume(volume.id)
    await catalog.delete_backup_type(backup_type.id)
    assert await catalog.backup_types() == []


async def test_a_volume_is_found_by_id_and_by_name_in_its_project(catalog: Catalog) -> None:
    volume = await add_volume(catalog, name="disk")
    assert await catalog.volume(PROJECT, volume.id) == await catalog.volume(PROJECT, "disk") == volume
    with pytest.raises(NotFound):
        await catalog.volume("another project", volume.id)


async def test_the_name_of_a_volume_is_taken_once_in_a_project(catalog: Catalog) -> None:
    await add_volume(catalog, name="disk")
    (backup_type,) = await catalog.backup_types()
    with pytest.raises(Conflict, match="name 'disk'"):
        await catalog.add_volume(make_volume(backup_type, name="disk"))
    elsewhere = make_volume(backup_type, name="disk", project="another")
    await catalog.add_volume(elsewhere)
    assert await catalog.volumes("another") == [elsewhere]


async def test_a_volume_needs_its_backup_type(catalog: Catalog) -> None:
    with pytest.raises(NotFound, match="there is no backup type"):
        await catalog.add_volume(make_volume(make_backup_type()))


async def test_volumes_are_listed_by_name(catalog: Catalog) -> None:
    second, first = await add_volume(catalog, name="b"), await add_volume(catalog, name="a")
    assert await catalog.volumes(PROJECT) == [first, second]


async def test_a_volume_with_backups_is_not_deleted(catalog: Catalog) -> None:
    volume = await add_volume(catalog)
    backup = await add_available(catalog, volume)
    with pytest.raises(Conflict, match=backup.id):
        await catalog.delete_volume(volume.id)


async def test_a_volume_whose_backups_are_deleted_can_be_deleted(catalog: Catalog) -> None:
    volume = await add_volume(catalog)
    backup = await add_available(catalog, volume)
    await catalog.begin_delete(backup.id, make_job(backup, JobKind.DELETE))
    job = await claim(catalog)
    await catalog.finish_delete(backup.id, job_id=job.id, fence=job.fence)
    await finish(catalog, job, JobState.SUCCEEDED)
    await catalog.delete_volume(volume.id)
    assert (await catalog.job(PROJECT, job.id)).backup_id == backup.id


async def test_a_volume_that_is_gone_is_not_backed_up(catalog: Catalog) -> None:
    volume = await add_volume(catalog)
    await catalog.delete_volume(volume.id)
    with pytest.raises(NotFound, match="there is no volume"):
        await add_creating(catalog, volume)


@pytest.mark.parametrize("method", ["backup_type", "delete_backup_type", "delete_volume"])
async def test_what_is_not_there_is_not_found(catalog: Catalog, method: str) -> None:
    with pytest.raises(NotFound, match='"none"'):
        await getattr(catalog, method)("none")
