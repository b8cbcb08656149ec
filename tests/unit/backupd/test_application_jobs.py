from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backupd.application.backups import NewBackup
from backupd.application.restores import NewRestore
from backupd.application.verifications import NewVerification
from backupd.errors import Conflict, InvalidRequest, NotFound
from backupd.model import Backup, BackupResult, JobKind, JobState, Progress
from tests.support.world import PROJECT, VOLUME_BYTES, World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        await world.add_volume()
        yield world


@pytest.fixture
async def backup(world: World) -> Backup:
    return await world.add_backup()


async def test_a_restore_is_a_job_with_its_destination(world: World, backup: Backup) -> None:
    path = str(world.restores / "new.img")
    job = await world.application.restores.create(PROJECT, NewRestore(backup=backup.id, path=path))
    assert (job.kind, job.request) == (JobKind.RESTORE, {"path": path, "overwrite": False, "allow_damaged": False})
    assert await world.catalog.job(PROJECT, job.id) == job
    assert world.worker.wakes == 2


async def test_a_restore_goes_to_an_allowed_directory_only(world: World, backup: Backup) -> None:
    with pytest.raises(InvalidRequest, match='path = "/etc/new": expected a path below one of'):
        await world.application.restores.create(PROJECT, NewRestore(backup=backup.id, path="/etc/new"))


async def test_two_restores_never_write_to_one_path(world: World, backup: Backup) -> None:
    new = NewRestore(backup=backup.id, path=str(world.restores / "new.img"))
    job = await world.application.restores.create(PROJECT, new)
    with pytest.raises(Conflict, match=f"job {job.id} is queued and restores to {new.path} already"):
        await world.application.restores.create(PROJECT, new)


@pytest.mark.parametrize("alias", ["restores/./new.img", "restores//new.img", "link/new.img", "/restores/new.img"])
async def test_a_path_written_otherwise_is_the_same_path(world: World, backup: Backup, alias: str) -> None:
    (world.restores.parent / "link").symlink_to(world.restores)
    path = str(world.restores / "new.img")
    job = await world.application.restores.create(PROJECT, NewRestore(backup=backup.id, path=path))
    new = NewRestore(backup=backup.id, path=f"{world.restores.parent}/{alias}")
    with pytest.raises(Conflict, match=f"job {job.id} is queued and restores to {path} already"):
        await world.application.restores.create(PROJECT, new)


async def test_a_poll_of_a_backup_job_does_not_load_its_extents(world: World, backup: Backup) -> None:
    extents = [{"offset_bytes": 0, "length_bytes": 512}]
    new = NewBackup(volume="disk", parent=backup.id, changed_extents=extents)
    _, job = await world.application.backups.create(PROJECT, new)
    assert (await world.application.jobs.one(PROJECT, job.id)).job.request == {}


async def test_a_path_is_free_again_after_a_restore_has_ended(world: World, backup: Backup) -> None:
    new = NewRestore(backup=backup.id, path=str(world.restores / "new.img"))
    job = await world.application.restores.create(PROJECT, new)
    await world.application.jobs.cancel(PROJECT, job.id)
    assert (await world.application.restores.create(PROJECT, new)).id != job.id


async def test_a_verification_is_a_job(world: World, backup: Backup) -> None:
    job = await world.application.verifications.create(PROJECT, NewVerification(backup=backup.id))
    assert (job.kind, job.request, job.backup_id) == (JobKind.VERIFY, {}, backup.id)
    assert world.worker.wakes == 2


async def test_only_an_available_backup_is_restored_or_verified(world: World) -> None:
    backup, _ = await world.application.backups.create(PROJECT, NewBackup(volume="disk"))
    message = f"backup {backup.id} is creating; expected a backup that is available"
    with pytest.raises(Conflict, match=message):
        await world.application.verifications.create(PROJECT, NewVerification(backup=backup.id))
    new = NewRestore(backup=backup.id, path=str(world.restores / "new.img"))
    with pytest.raises(Conflict, match=message):
        await world.application.restores.create(PROJECT, new)


async def test_an_unknown_backup_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.application.verifications.create(PROJECT, NewVerification(backup="none"))


async def test_a_backup_in_use_is_deleted_when_nobody_uses_it_any_more(world: World, backup: Backup) -> None:
    used = await world.application.verifications.create(PROJECT, NewVerification(backup=backup.id))
    deletion = await world.application.backups.delete(PROJECT, backup.id)
    queued = await world.application.jobs.all(PROJECT, state=JobState.QUEUED)
    assert [one.id for one in queued] == [deletion.id, used.id]
    claimed = [await world.catalog.claim_job(owner, lease_s=60) for owner in ("one", "other")]
    assert [one and one.id for one in claimed] == [used.id, None]


async def test_jobs_are_listed_by_state_and_kind(world: World, backup: Backup) -> None:
    job = await world.application.verifications.create(PROJECT, NewVerification(backup=backup.id))
    jobs = world.application.jobs
    assert len(await jobs.all(PROJECT)) == 2
    assert [one.id for one in await jobs.all(PROJECT, state=JobState.QUEUED)] == [job.id]
    assert [one.id for one in await jobs.all(PROJECT, kind=JobKind.VERIFY)] == [job.id]
    assert await jobs.all(PROJECT, state=JobState.FAILED) == []


@pytest.mark.parametrize("limit", [0, 1001])
async def test_the_number_of_listed_jobs_is_limited(world: World, limit: int) -> None:
    with pytest.raises(InvalidRequest, match=f"limit = {limit}: expected an integer from 1 to 1000"):
        await world.application.jobs.all(PROJECT, limit=limit)


async def test_a_finished_backup_job_shows_its_attempt_and_result(world: World, backup: Backup) -> None:
    (job,) = await world.application.jobs.all(PROJECT)
    detail = await world.application.jobs.one(PROJECT, job.id)
    assert [attempt.owner for attempt in detail.attempts] == ["worker"]
    assert isinstance(detail.result, BackupResult)
    assert detail.result.size_bytes == VOLUME_BYTES == backup.size_bytes


async def test_a_queued_job_has_no_result(world: World) -> None:
    _, job = await world.application.backups.create(PROJECT, NewBackup(volume="disk"))
    detail = await world.application.jobs.one(PROJECT, job.id)
    assert (detail.attempts, detail.result) == ([], None)


async def test_a_queued_job_is_cancelled_at_once(world: World) -> None:
    _, job = await world.application.backups.create(PROJECT, NewBackup(volume="disk"))
    assert (await world.application.jobs.cancel(PROJECT, job.id)).state is JobState.CANCELLED


async def test_a_running_job_is_told_to_stop_and_the_worker_is_woken(world: World) -> None:
    await world.application.backups.create(PROJECT, NewBackup(volume="disk"))
    job = await world.claim_job()
    assert (await world.application.jobs.cancel(PROJECT, job.id)).state is JobState.CANCELLING
    assert world.worker.wakes == 2


async def test_a_running_job_shows_how_far_it_is_now(world: World) -> None:
    await world.application.backups.create(PROJECT, NewBackup(volume="disk"))
    job = await world.claim_job()
    now = world.worker.progress[job.id] = Progress(512, VOLUME_BYTES, 1024.0, 3.5)
    assert (await world.application.jobs.one(PROJECT, job.id)).job.progress == now
    assert [one.progress for one in await world.application.jobs.all(PROJECT)] == [now]


async def test_a_finished_job_is_not_cancelled(world: World, backup: Backup) -> None:
    (job,) = await world.application.jobs.all(PROJECT)
    with pytest.raises(Conflict):
        await world.application.jobs.cancel(PROJECT, job.id)
    assert backup.state == "available"
