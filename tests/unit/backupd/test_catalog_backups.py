from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backupd.catalog.store import Catalog
from backupd.errors import Conflict, LeaseLost, NotFound
from backupd.model import Backup, BackupState, Failure, Hold, Job, JobKind, JobState, Progress
from tests.support.builders import (
    LEASE_S,
    PROJECT,
    RESULT,
    START,
    add_available,
    add_creating,
    add_queued,
    add_volume,
    claim,
    finish,
    make_backup,
    make_job,
    publish,
    state_of,
)
from tests.support.catalogs import open_catalog
from tests.support.query_plan import plans
from tests.support.virtual_clock import VirtualClock


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    async with open_catalog(tmp_path / "catalog.sqlite", VirtualClock()) as catalog:
        yield catalog


async def begin_delete(catalog: Catalog, backup: Backup) -> Job:
    job = make_job(backup, JobKind.DELETE)
    await catalog.begin_delete(backup.id, job)
    return job


async def test_a_backup_and_its_job_are_added_together(catalog: Catalog) -> None:
    backup = make_backup(await add_volume(catalog))
    job = make_job(backup, JobKind.BACKUP, request={"changed_extents": [[0, 512]]})
    await catalog.create_backup(backup, job)
    assert await catalog.backup(PROJECT, backup.id) == backup
    assert await catalog.job(PROJECT, job.id) == job


async def test_a_second_backup_of_a_volume_waits_for_the_first(catalog: Catalog) -> None:
    volume = await add_volume(catalog)
    first = await add_creating(catalog, volume)
    with pytest.raises(Conflict, match=f"backup {first.of_backup} of this volume is still being created"):
        await add_creating(catalog, volume)
    assert len(await catalog.backups(PROJECT)) == len(await catalog.jobs(PROJECT)) == 1


async def test_a_parent_that_is_going_away_is_refused(catalog: Catalog) -> None:
    volume = await add_volume(catalog)
    parent = await add_available(catalog, volume)
    await begin_delete(catalog, parent)
    with pytest.raises(Conflict, match=f"backup {parent.id} is deleting, expected available"):
        await add_creating(catalog, volume, parent_id=parent.id)


async def test_a_published_backup_has_its_result(catalog: Catalog) -> None:
    job = await claim(catalog, await add_creating(catalog))
    await publish(catalog, job)
    found = await catalog.backup(PROJECT, job.of_backup)
    assert (found.state, found.size_bytes, found.statistics) == (BackupState.AVAILABLE, 4096, RESULT.statistics)
    assert found.finished_at == START


async def test_a_backup_is_published_once(catalog: Catalog) -> None:
    job = await claim(catalog, await add_creating(catalog))
    await publish(catalog, job)
    with pytest.raises(Conflict, match="is available, expected creating"):
        await publish(catalog, job)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
async def test_a_job_that_ends_badly_leaves_its_backup_in_error(catalog: Catalog, state: JobState) -> None:
    job = await claim(catalog, await add_creating(catalog))
    failure = Failure("source.changed", "it is no longer what was opened")
    await catalog.finish_job(job.id, job.fence, state, failure, Progress())
    assert await state_of(catalog, job) == (state, BackupState.ERROR)
    assert (await catalog.backup(PROJECT, job.of_backup)).failure == failure


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
async def test_a_job_has_succeeded_once_its_backup_is_published(catalog: Catalog, state: JobState) -> None:
    job = await claim(catalog, await add_creating(catalog))
    await publish(catalog, job)
    await catalog.finish_job(job.id, job.fence, state, Failure("internal", "too late"), Progress())
    assert await state_of(catalog, job) == (JobState.SUCCEEDED, BackupState.AVAILABLE)
    assert (await catalog.job(PROJECT, job.id)).failure is None
    assert [attempt.state for attempt in await catalog.attempts(job.id)] == ["succeeded"]


async def test_a_failed_verification_leaves_the_backup_available(catalog: Catalog) -> None:
    job = await claim(catalog, await add_queued(catalog, await add_available(catalog)))
    await finish(catalog, job, JobState.FAILED)
    assert await state_of(catalog, job) == (JobState.FAILED, BackupState.AVAILABLE)


async def test_a_deletion_ends_in_deleted(catalog: Catalog) -> None:
    backup = await add_available(catalog)
    job = await claim(catalog, await begin_delete(catalog, backup))
    assert (await catalog.backup(PROJECT, backup.id)).state is BackupState.DELETING
    await catalog.finish_delete(backup.id, job_id=job.id, fence=job.fence)
    await finish(catalog, job, JobState.SUCCEEDED)
    assert await catalog.backups(PROJECT) == []
    assert [one.state for one in await catalog.backups(PROJECT, include_deleted=True)] == [BackupState.DELETED]


async def test_a_deletion_by_a_worker_that_lost_its_lease_is_refused(catalog: Catalog) -> None:
    backup = await add_available(catalog)
    job = await claim(catalog, await begin_delete(catalog, backup))
    with pytest.raises(LeaseLost):
        await catalog.finish_delete(backup.id, job_id=job.id, fence=job.fence - 1)
    assert (await catalog.backup(PROJECT, backup.id)).state is BackupState.DELETING


async def test_a_backup_whose_deletion_failed_can_be_deleted_again(catalog: Catalog) -> None:
    backup = await add_available(catalog)
    job = await claim(catalog, await begin_delete(catalog, backup))
    await finish(catalog, job, JobState.FAILED)
    assert (await catalog.backup(PROJECT, backup.id)).state is BackupState.ERROR
    assert await claim(catalog, await begin_delete(catalog, backup))


async def test_a_deletion_cancelled_before_it_began_leaves_the_backup_as_it_was(catalog: Catalog) -> None:
    backup = await add_available(catalog)
    job = await begin_delete(catalog, backup)
    assert await catalog.request_cancel(PROJECT, job.id) is JobState.CANCELLED
    assert await catalog.backup(PROJECT, backup.id) == backup


async def test_a_backup_in_error_is_not_made_available_by_a_cancelled_deletion(catalog: Catalog) -> None:
    job = await claim(catalog, await add_creating(catalog))
    await finish(catalog, job, JobState.FAILED)
    backup = await catalog.backup(PROJECT, job.of_backup)
    await catalog.request_cancel(PROJECT, (await begin_delete(catalog, backup)).id)
    assert await catalog.backup(PROJECT, backup.id) == backup


async def test_a_backup_that_is_being_created_is_not_deleted(catalog: Catalog) -> None:
    job = await add_creating(catalog)
    with pytest.raises(Conflict, match="is creating, expected available or error"):
        await begin_delete(catalog, await catalog.backup(PROJECT, job.of_backup))


@pytest.mark.parametrize("kind", [JobKind.RESTORE, JobKind.VERIFY, JobKind.COPY])
async def test_a_deletion_waits_for_who_uses_the_backup(catalog: Catalog, kind: JobKind) -> None:
    backup = await add_available(catalog)
    user = await add_queued(catalog, backup, kind=kind)
    deletion = await begin_delete(catalog, backup)
    await claim(catalog, user)
    assert await catalog.claim_job("node-a", LEASE_S) is None
    await finish(catalog, replace(user, fence=1), JobState.SUCCEEDED)
    await claim(catalog, deletion)


async def test_the_deletion_of_a_parent_waits_for_the_backup_in_creation(catalog: Catalog) -> None:
    volume = await add_volume(catalog)
    parent = await add_available(catalog, volume)
    child = await add_creating(catalog, volume, parent_id=parent.id)
    deletion = await begin_delete(catalog, parent)
    claimed = await claim(catalog, child)
    assert await catalog.claim_job("node-a", LEASE_S) is None
    await publish(catalog, claimed)
    await finish(catalog, claimed, JobState.SUCCEEDED)
    await claim(catalog, deletion)


async def test_a_deletion_that_waits_can_be_cancelled(catalog: Catalog) -> None:
    volume = await add_volume(catalog)
    parent = await add_available(catalog, volume)
    await add_creating(catalog, volume, parent_id=parent.id)
    await catalog.request_cancel(PROJECT, (await begin_delete(catalog, parent)).id)
    assert await catalog.backup(PROJECT, parent.id) == parent


async def test_parents_and_children_may_be_deleted_at_the_same_time(catalog: Catalog) -> None:
    volume = await add_volume(catalog)
    parent = await add_available(catalog, volume)
    child = await add_available(catalog, volume, parent_id=parent.id)
    deletions = {(await begin_delete(catalog, one)).id for one in (parent, child)}
    assert {(await claim(catalog)).id for _ in deletions} == deletions


async def test_a_held_backup_is_not_deleted_before_it_is_released(catalog: Catalog) -> None:
    backup = await add_available(catalog)
    await catalog.hold_backup(Hold(backup.id, "audit of May", START))
    with pytest.raises(Conflict, match="is held: audit of May"):
        await begin_delete(catalog, backup)
    assert (await catalog.backup(PROJECT, backup.id)).state is BackupState.AVAILABLE
    await catalog.release_backup(backup.id)
    await begin_delete(catalog, backup)


async def test_a_backup_that_is_being_deleted_is_not_held_any_more(catalog: Catalog) -> None:
    backup = await add_available(catalog)
    await begin_delete(catalog, backup)
    with pytest.raises(Conflict, match="is deleting"):
        await catalog.hold_backup(Hold(backup.id, "too late", START))


async def test_a_backup_that_is_going_away_is_not_restored(catalog: Catalog) -> None:
    backup = await add_available(catalog)
    await begin_delete(catalog, backup)
    with pytest.raises(Conflict, match="is deleting, expected available"):
        await add_queued(catalog, backup, kind=JobKind.RESTORE)


async def test_a_job_needs_its_backup(catalog: Catalog) -> None:
    with pytest.raises(NotFound, match="there is no backup"):
        await add_queued(catalog, make_backup(await add_volume(catalog)))


async def test_the_latest_available_backup_that_fits_is_found(catalog: Catalog) -> None:
    volume = await add_volume(catalog)
    wanted: dict[str, Any] = {"target": "local", "copies": (), "chunk_size_bytes": 262144, "is_encrypted": True}
    changes: list[dict[str, Any]] = [
        *({}, {"target": "other"}, {"copies": ("other",)}, {"chunk_size_bytes": 65536}, {"is_encrypted": False}),
    ]
    added = [
        await add_available(catalog, volume, created_at=START + timedelta(minutes=minute), **change)
        for minute, change in enumerate([{}, *changes])
    ]
    found = [await _latest(catalog, volume.id, **(wanted | change)) for change in changes]
    assert found == added[1:]
    assert await _latest(catalog, volume.id, **(wanted | {"target": "none"})) is None


async def _latest(catalog: Catalog, volume_id: str, *, target: str, copies: tuple[str, ...], **fits: Any) -> Any:
    return await catalog.latest_available(volume_id, targets=(target, *copies), **fits)


async def test_backups_are_listed_newest_first_and_by_volume(catalog: Catalog) -> None:
    volume = await add_volume(catalog)
    first = await add_available(catalog, volume)
    second = await add_available(catalog, volume, created_at=START + timedelta(seconds=1))
    other = await add_available(catalog, created_at=START + timedelta(seconds=2))
    assert await catalog.backups(PROJECT) == [other, second, first]
    assert await catalog.backups(PROJECT, volume.id) == [second, first]
    assert await catalog.backups("another") == []


async def test_where_a_backup_was_to_be_copied_is_found_without_looking_at_all_jobs(catalog: Catalog) -> None:
    backup = await add_available(catalog, await add_volume(catalog))
    for steps in await plans(catalog, catalog.copied_to(backup.id)):
        assert all("USING INDEX" in step for step in steps), steps
        assert not any("ix_jobs_project_created_at" in step for step in steps), steps
