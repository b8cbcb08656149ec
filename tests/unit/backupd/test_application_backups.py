from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backupd.application.backup_types import NewBackupType
from backupd.application.backups import NewBackup
from backupd.application.changed_extents import EXTENTS_MAX, parse_changed_extents
from backupd.application.volumes import NewVolume
from backupd.errors import Conflict, InvalidRequest, NotFound
from backupd.model import BackupMode, BackupState, JobKind, JobState
from tests.support.world import PROJECT, World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        await world.add_volume()
        yield world


async def create(world: World, **fields: Any) -> tuple[Any, Any]:
    return await world.application.backups.create(PROJECT, NewBackup(**{"volume": "disk", **fields}))


async def test_the_first_backup_is_full_and_has_a_queued_job(world: World) -> None:
    backup, job = await create(world)
    assert (backup.mode, backup.state, backup.parent_id) == (BackupMode.FULL, BackupState.CREATING, None)
    assert (job.kind, job.state, job.backup_id) == (JobKind.BACKUP, JobState.QUEUED, backup.id)
    assert job.request == {"changed_extents": None}
    assert await world.catalog.backup(PROJECT, backup.id) == backup
    assert await world.catalog.job(PROJECT, job.id) == job


async def test_the_worker_is_woken(world: World) -> None:
    await create(world)
    assert world.worker.wakes == 1


async def test_the_next_backup_starts_from_the_latest(world: World) -> None:
    parent = await world.add_backup()
    backup, _ = await create(world)
    assert (backup.mode, backup.parent_id) == (BackupMode.INCREMENTAL, parent.id)


async def test_a_full_backup_has_no_parent_though_it_could(world: World) -> None:
    await world.add_backup()
    backup, _ = await create(world, mode=BackupMode.FULL)
    assert (backup.mode, backup.parent_id) == (BackupMode.FULL, None)


async def test_a_backup_copies_the_fields_of_the_type(world: World) -> None:
    new_type = NewBackupType(
        name="odd",
        target="other",
        chunk_size_bytes=65536,
        compression_level=9,
        is_encrypted=False,
        is_deduplicated=False,
    )
    await world.application.backup_types.add(new_type)
    await world.add_volume("odd", backup_type="odd")
    backup, _ = await create(world, volume="odd")
    assert (backup.target, backup.chunk_size_bytes, backup.compression_level) == ("other", 65536, 9)
    assert (backup.is_encrypted, backup.is_deduplicated) == (False, False)


async def test_a_backup_without_a_name_is_named_by_its_time(world: World) -> None:
    backup, _ = await create(world)
    now = world.clock.now()
    assert backup.name == f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"
    assert backup.created_at == world.clock.now()


async def test_two_backups_of_one_second_have_two_names(world: World) -> None:
    first, _ = await create(world)
    await world.finish_job()
    world.clock.advance(0.25)
    second, _ = await create(world)
    assert (first.name[-5:], second.name[-5:]) == (".000Z", ".250Z")


async def test_a_bad_name_is_named(world: World) -> None:
    with pytest.raises(InvalidRequest, match='name = "a/b": expected 1 to 128 letters'):
        await create(world, name="a/b")


async def test_an_incremental_one_needs_a_parent(world: World) -> None:
    with pytest.raises(Conflict, match='volume "disk" has no available backup that an incremental one'):
        await create(world, mode=BackupMode.INCREMENTAL)


async def test_two_backups_of_a_volume_do_not_run_together(world: World) -> None:
    await create(world)
    with pytest.raises(Conflict):
        await create(world)
    assert world.worker.wakes == 1


async def test_an_unknown_volume_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="none"):
        await create(world, volume="none")


async def test_a_volume_that_is_gone_cannot_be_backed_up(world: World) -> None:
    (world.sources / "disk.img").unlink()
    with pytest.raises(Conflict, match=r'volume "disk" cannot be read: path = .*that exists'):
        await create(world)


async def test_a_parent_must_be_there(world: World) -> None:
    with pytest.raises(NotFound):
        await create(world, parent="none")


async def test_a_full_backup_takes_no_parent(world: World) -> None:
    parent = await world.add_backup()
    with pytest.raises(InvalidRequest, match=f'parent = "{parent.id}": expected none, because mode is full'):
        await create(world, mode=BackupMode.FULL, parent=parent.id)


async def test_a_parent_must_be_of_the_same_volume(world: World) -> None:
    await world.add_volume("second")
    parent = await world.add_backup("second")
    with pytest.raises(InvalidRequest, match='expected a backup of volume "disk"'):
        await create(world, parent=parent.id)


async def test_a_parent_must_be_available(world: World) -> None:
    parent = await world.add_backup()
    await world.application.backups.delete(PROJECT, parent.id)
    with pytest.raises(Conflict, match=f"{parent.id} is deleting; expected a parent that is available"):
        await create(world, parent=parent.id)


async def test_the_parent_that_is_named_is_taken(world: World) -> None:
    older = await world.add_backup()
    await world.add_backup()
    backup, _ = await create(world, parent=older.id)
    assert (backup.mode, backup.parent_id) == (BackupMode.INCREMENTAL, older.id)


async def test_changed_extents_are_what_the_job_gets(world: World) -> None:
    parent = await world.add_backup()
    extents = [{"offset_bytes": 0, "length_bytes": 512}, {"offset_bytes": 4096, "length_bytes": 1}]
    _, job = await create(world, changed_extents=extents, parent=parent.id)
    assert job.request == {"changed_extents": [[0, 512], [4096, 1]]}


async def test_no_changed_extent_is_not_the_same_as_none_given(world: World) -> None:
    parent = await world.add_backup()
    _, job = await create(world, changed_extents=[], parent=parent.id)
    assert job.request == {"changed_extents": []}


async def test_changed_extents_say_since_which_backup(world: World) -> None:
    await world.add_backup()
    with pytest.raises(InvalidRequest, match="parent = null: expected the backup that changed_extents are"):
        await create(world, changed_extents=[])


async def test_a_full_backup_takes_no_changed_extents(world: World) -> None:
    with pytest.raises(InvalidRequest, match="only an incremental one takes them"):
        await create(world, changed_extents=[])


@pytest.mark.parametrize(
    ("extent", "message"),
    [
        ([0, 1], "changed_extents[1] = a list of 2: expected an object with"),
        ({"offset_bytes": 0}, "changed_extents[1] = an object: expected an object with"),
        (
            {"offset_bytes": 0, "length_bytes": 1, "x": 1},
            "changed_extents[1] = an object: expected",
        ),
        (
            {"offset_bytes": -1, "length_bytes": 1},
            "[1].offset_bytes = -1: expected an integer of 0",
        ),
        ({"offset_bytes": True, "length_bytes": 1}, "[1].offset_bytes = true: expected an integer"),
        (
            {"offset_bytes": 0, "length_bytes": 0},
            "[1].length_bytes = 0: expected an integer of 1",
        ),
        (
            {"offset_bytes": 0, "length_bytes": 1.5},
            "[1].length_bytes = 1.5: expected an integer",
        ),
        ({"offset_bytes": 2**62, "length_bytes": 2**62}, "that ends below 2^63"),
    ],
)
def test_a_bad_extent_is_named(extent: object, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_changed_extents([{"offset_bytes": 0, "length_bytes": 1}, extent])
    assert message in str(caught.value)


def test_too_many_extents_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="changed_extents = a list of 100001: expected at most 100000"):
        parse_changed_extents([None] * (EXTENTS_MAX + 1))


async def test_backups_are_listed_by_volume(world: World) -> None:
    await world.add_volume("second")
    first, second = await world.add_backup("disk"), await world.add_backup("second")
    listed = await world.application.backups.all(PROJECT)
    assert {one.id for one in listed} == {first.id, second.id}
    assert [one.id for one in await world.application.backups.all(PROJECT, volume="second")] == [second.id]


async def test_a_deletion_is_a_job(world: World) -> None:
    backup = await world.add_backup()
    job = await world.application.backups.delete(PROJECT, backup.id)
    assert (job.kind, job.request) == (JobKind.DELETE, {})
    assert (await world.application.backups.one(PROJECT, backup.id)).state is BackupState.DELETING
    assert world.worker.wakes == 2


async def test_a_backup_that_is_being_made_is_not_deleted(world: World) -> None:
    backup, _ = await create(world)
    with pytest.raises(Conflict):
        await world.application.backups.delete(PROJECT, backup.id)


async def test_a_type_whose_target_is_gone_makes_no_backup(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.application.backup_types.add(NewBackupType(name="other", target="other"))
        path = world.sources / "disk.img"
        path.touch()
        new = NewVolume(name="disk", path=str(path), backup_type="other")
        await world.application.volumes.add(PROJECT, new)
        without = world.without_target("other")
        with pytest.raises(Conflict, match='target "other" is no longer in the configuration'):
            await without.backups.create(PROJECT, NewBackup(volume="disk"))
