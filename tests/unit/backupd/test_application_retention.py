"""Retention applied: what is let go is deleted after a backup, and only what may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from backupd.application.backup_types import NewBackupType
from backupd.application.backups import NewBackup, NewHold
from backupd.application.restores import NewRestore
from backupd.application.volumes import VolumeChange
from backupd.config import RetentionConfig
from backupd.errors import NotFound
from backupd.model import Backup, BackupState, Job, JobKind, JobState
from tests.support.builders import RESULT
from tests.support.world import PROJECT, World, open_world

DAY_S = 86_400


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        await world.application.backup_types.add(NewBackupType(name="standard", target="local", retention="short"))
        await world.add_volume()
        yield world


async def add_backups(world: World, count: int) -> list[Backup]:
    return [await world.add_backup() for _ in range(count)]


async def apply(world: World) -> list[Job]:
    volume = await world.catalog.volume(PROJECT, "disk")
    return await world.application.retention.apply(PROJECT, volume.id)


async def states(world: World, backups: list[Backup]) -> list[str]:
    return [(await world.catalog.backup(PROJECT, one.id)).state for one in backups]


async def delete_now(world: World, job: Job) -> None:
    """Do, as a worker, the deletion that is next."""
    claimed = await world.claim_job()
    assert claimed.id == job.id
    await world.catalog.finish_delete(claimed.of_backup, job_id=claimed.id, fence=claimed.fence)
    await world.end_job(claimed, JobState.SUCCEEDED)


async def test_what_is_let_go_gets_a_delete_job(world: World) -> None:
    backups = await add_backups(world, 4)
    wakes = world.worker.wakes
    jobs = await apply(world)
    assert [(job.kind, job.backup_id, job.state) for job in jobs] == [
        (JobKind.DELETE, backups[0].id, JobState.QUEUED),
        (JobKind.DELETE, backups[1].id, JobState.QUEUED),
    ]
    assert await states(world, backups) == ["deleting", "deleting", "available", "available"]
    assert world.worker.wakes == wakes + 2


async def test_applied_once_more_it_does_nothing(world: World) -> None:
    await add_backups(world, 4)
    assert len(await apply(world)) == 2
    assert await apply(world) == []


async def test_a_backup_in_use_goes_when_its_use_has_ended(world: World) -> None:
    first, *_ = await add_backups(world, 3)
    path = str(world.restores / "new.img")
    restore = await world.application.restores.create(PROJECT, NewRestore(backup=first.id, path=path))
    (deletion,) = await apply(world)
    claimed = await world.claim_job()
    assert claimed.id == restore.id
    assert await world.catalog.claim_job("worker", 60.0) is None
    await world.end_job(claimed, JobState.SUCCEEDED)
    assert (await world.claim_job()).id == deletion.id


async def test_a_held_backup_is_not_let_go(world: World) -> None:
    first, *_ = await add_backups(world, 3)
    await world.application.backups.hold(PROJECT, first.id, NewHold(reason="audit"))
    assert await apply(world) == []
    judged = await world.application.retention.of_volume(PROJECT, "disk")
    assert judged.backups[-1].verdict.reasons == ("held",)
    await world.application.backups.release(PROJECT, first.id)
    assert [job.backup_id for job in await apply(world)] == [first.id]


async def test_a_type_without_retention_lets_nothing_go(world: World) -> None:
    await world.application.backup_types.add(NewBackupType(name="forever", target="local"))
    await world.application.volumes.change(PROJECT, "disk", VolumeChange(backup_type="forever"))
    backups = await add_backups(world, 4)
    assert await apply(world) == []
    judged = await world.application.retention.of_volume(PROJECT, "disk")
    assert (judged.backup_type, judged.retention, len(judged.backups)) == ("forever", None, len(backups))
    assert all(one.verdict.reasons == ("the policy has no rule",) for one in judged.backups)


async def test_a_retention_that_the_configuration_has_no_more_lets_nothing_go(world: World) -> None:
    await add_backups(world, 4)
    retention = world.configured(retention={}).retention
    volume = await world.catalog.volume(PROJECT, "disk")
    assert await retention.apply(PROJECT, volume.id) == []
    assert (await retention.of_volume(PROJECT, "disk")).retention == "short"


async def test_time_alone_lets_go_by_the_clock_of_the_daemon(world: World) -> None:
    retention = world.configured(retention={"short": RetentionConfig(keep_within_s=DAY_S)}).retention
    old = await add_backups(world, 2)
    world.clock.advance(DAY_S)
    new = await add_backups(world, 2)
    judged = await retention.of_volume(PROJECT, "disk")
    assert [one.backup.id for one in judged.backups if one.verdict.is_kept] == [new[1].id, new[0].id]
    assert [one.backup.id for one in judged.backups if not one.verdict.is_kept] == [old[1].id, old[0].id]


async def test_looking_does_nothing(world: World) -> None:
    backups = await add_backups(world, 4)
    judged = await world.application.retention.of_volume(PROJECT, "disk")
    assert [(one.backup.id, one.verdict.reasons) for one in judged.backups] == [
        (backups[3].id, ("last",)),
        (backups[2].id, ("last",)),
        (backups[1].id, ()),
        (backups[0].id, ()),
    ]
    assert await states(world, backups) == ["available"] * 4


async def test_a_failed_backup_takes_no_place(world: World) -> None:
    backups = await add_backups(world, 2)
    await world.application.backups.create(PROJECT, NewBackup(volume="disk"))
    await world.end_job(await world.claim_job(), JobState.FAILED)
    assert await apply(world) == []
    assert await states(world, backups) == ["available"] * 2


async def add_lagging(world: World) -> Backup:
    """Make a backup that target "other" has yet to get."""
    world.clock.advance(60)
    backup, _ = await world.application.backups.create(PROJECT, NewBackup(volume="disk"))
    job = await world.claim_job()
    await world.catalog.publish_backup(backup.id, job_id=job.id, fence=job.fence, result=RESULT, lagging=["other"])
    await world.end_job(job, JobState.SUCCEEDED)
    return backup


async def test_a_backup_that_a_target_lacks_stays_and_takes_no_place(world: World) -> None:
    new = NewBackupType(name="both", target="local", copies=("other",), retention="short")
    await world.application.backup_types.add(new)
    await world.application.volumes.change(PROJECT, "disk", VolumeChange(backup_type="both"))
    backups = await add_backups(world, 3)
    lagging = await add_lagging(world)
    judged = (await world.application.retention.of_volume(PROJECT, "disk")).backups
    assert [(one.backup.id, one.verdict.reasons) for one in judged] == [
        (lagging.id, ("lagging on other",)),
        (backups[2].id, ("last",)),
        (backups[1].id, ("last",)),
        (backups[0].id, ()),
    ]
    assert [job.backup_id for job in await apply(world)] == [backups[0].id]


async def test_a_target_that_is_configured_no_longer_holds_nothing_back(world: World) -> None:
    new = NewBackupType(name="both", target="local", copies=("other",), retention="short")
    await world.application.backup_types.add(new)
    await world.application.volumes.change(PROJECT, "disk", VolumeChange(backup_type="both"))
    backups = [await add_lagging(world) for _ in range(3)]
    judged = (await world.without_target("other").retention.of_volume(PROJECT, "disk")).backups
    assert [one.backup.id for one in judged if not one.verdict.is_kept] == [backups[0].id]


async def test_other_volumes_are_left_alone(world: World) -> None:
    await world.add_volume("second")
    others = [await world.add_backup("second") for _ in range(4)]
    await add_backups(world, 3)
    assert len(await apply(world)) == 1
    assert await states(world, others) == ["available"] * 4


async def test_an_unknown_volume_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="none"):
        await world.application.retention.of_volume(PROJECT, "none")


async def test_each_published_backup_lets_its_volume_go_through_retention(world: World) -> None:
    backups = await add_backups(world, 3)
    (job, *_) = await world.catalog.jobs(PROJECT, kind=JobKind.BACKUP)
    published: asyncio.Queue[Job] = asyncio.Queue(maxsize=1)
    async with asyncio.TaskGroup() as tasks:
        retaining = tasks.create_task(world.application.retention.run(published))
        await published.put(replace(job, backup_id="none"))  # Of a backup that is not there: it stops nothing.
        await published.put(job)
        await world.worker.woken_more_than(3)
        retaining.cancel()
    assert await states(world, backups) == [BackupState.DELETING, BackupState.AVAILABLE, BackupState.AVAILABLE]
    deletion = (await world.catalog.jobs(PROJECT, kind=JobKind.DELETE))[0]
    await delete_now(world, deletion)
    assert await states(world, backups[:1]) == [BackupState.DELETED]
