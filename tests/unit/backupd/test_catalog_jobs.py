from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from backupd.catalog.store import Catalog
from backupd.errors import Conflict, LeaseLost, NotFound
from backupd.model import AttemptState, Backup, BackupState, Failure, JobKind, JobState, Progress
from tests.support.builders import (
    LEASE_S,
    PROJECT,
    START,
    add_available,
    add_creating,
    add_queued,
    claim,
    finish,
    publish,
    state_of,
)
from tests.support.catalogs import open_catalog
from tests.support.virtual_clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def catalog(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Catalog]:
    async with open_catalog(tmp_path / "catalog.sqlite", clock) as catalog:
        yield catalog


@pytest.fixture
async def backup(catalog: Catalog) -> Backup:
    return await add_available(catalog)


async def test_a_claimed_job_is_running_under_a_lease(catalog: Catalog, backup: Backup) -> None:
    job = await claim(catalog, await add_queued(catalog, backup))
    assert (job.state, job.fence, job.lease_owner) == (JobState.RUNNING, 1, "node-a")
    assert (job.started_at, job.lease_expires_at) == (START, START + timedelta(seconds=LEASE_S))
    assert await catalog.job(PROJECT, job.id) == job
    (attempt,) = await catalog.attempts(job.id)
    assert (attempt.fence, attempt.owner, attempt.state) == (1, "node-a", AttemptState.RUNNING)


async def test_nothing_to_do_is_none(catalog: Catalog) -> None:
    assert await catalog.claim_job("node-a", LEASE_S) is None


async def test_the_oldest_job_comes_first(catalog: Catalog, backup: Backup) -> None:
    times = [START + timedelta(seconds=second) for second in (3, 1, 2)]
    jobs = [await add_queued(catalog, backup, created_at=time) for time in times]
    assert [(await claim(catalog)).id for _ in jobs] == [jobs[1].id, jobs[2].id, jobs[0].id]


async def test_only_the_kinds_asked_for_are_claimed(catalog: Catalog, backup: Backup) -> None:
    await add_queued(catalog, backup)
    assert await catalog.claim_job("node-a", LEASE_S, kinds=[JobKind.RESTORE]) is None
    assert await catalog.claim_job("node-a", LEASE_S, kinds=[JobKind.RESTORE, JobKind.VERIFY]) is not None


async def test_a_job_under_a_lease_is_not_claimed(catalog: Catalog, backup: Backup, clock: VirtualClock) -> None:
    await claim(catalog, await add_queued(catalog, backup))
    clock.advance(LEASE_S - 0.001)
    assert await catalog.claim_job("node-b", LEASE_S) is None


async def test_an_expired_lease_is_taken_over(catalog: Catalog, backup: Backup, clock: VirtualClock) -> None:
    first = await claim(catalog, await add_queued(catalog, backup))
    clock.advance(LEASE_S)
    second = await claim(catalog, first, "node-b")
    assert (second.fence, second.lease_owner, second.started_at) == (2, "node-b", START)
    lost, running = await catalog.attempts(first.id)
    assert (lost.state, lost.finished_at) == (AttemptState.LOST, START + timedelta(seconds=LEASE_S))
    assert running.state is AttemptState.RUNNING


async def test_a_heartbeat_renews_the_lease(catalog: Catalog, backup: Backup, clock: VirtualClock) -> None:
    job = await claim(catalog, await add_queued(catalog, backup))
    progress = Progress(1, 2**40, 3.5, 4.5)
    clock.advance(LEASE_S / 2)
    assert await catalog.heartbeat(job.id, job.fence, LEASE_S, progress) is JobState.RUNNING
    assert (await catalog.job(PROJECT, job.id)).progress == progress
    clock.advance(LEASE_S - 0.001)
    assert await catalog.claim_job("node-b", LEASE_S) is None


async def test_the_old_worker_of_a_job_may_write_nothing(catalog: Catalog, backup: Backup, clock: VirtualClock) -> None:
    old = await claim(catalog, await add_queued(catalog, backup))
    clock.advance(LEASE_S)
    new = await claim(catalog, old, "node-b")
    with pytest.raises(LeaseLost, match=f"job {old.id} with fence 1 was taken over.*with fence 2"):
        await catalog.heartbeat(old.id, old.fence, LEASE_S, Progress(1, 1))
    with pytest.raises(LeaseLost):
        await finish(catalog, old, JobState.SUCCEEDED)
    with pytest.raises(LeaseLost):
        await catalog.release_job(old.id, old.fence)
    assert await catalog.job(PROJECT, old.id) == new


async def test_a_job_that_has_ended_is_nobodys(catalog: Catalog, backup: Backup, clock: VirtualClock) -> None:
    job = await claim(catalog, await add_queued(catalog, backup))
    await finish(catalog, job, JobState.SUCCEEDED)
    clock.advance(2 * LEASE_S)
    assert await catalog.claim_job("node-b", LEASE_S) is None
    with pytest.raises(LeaseLost):
        await catalog.heartbeat(job.id, job.fence, LEASE_S, Progress())


async def test_an_ended_job_has_its_failure_and_progress(catalog: Catalog, backup: Backup) -> None:
    job = await claim(catalog, await add_queued(catalog, backup))
    failure = Failure("repository.corrupt", "packs/aa is damaged")
    await catalog.finish_job(job.id, job.fence, JobState.FAILED, failure, Progress(1, 2))
    found = await catalog.job(PROJECT, job.id)
    assert (found.state, found.failure, found.progress) == (JobState.FAILED, failure, Progress(1, 2))
    assert (found.lease_owner, found.lease_expires_at, found.finished_at) == (None, None, START)
    (attempt,) = await catalog.attempts(job.id)
    assert (attempt.state, attempt.failure) == (AttemptState.FAILED, failure)


async def test_the_leases_of_a_dead_node_end_at_once(catalog: Catalog, backup: Backup) -> None:
    mine, theirs = await add_queued(catalog, backup), await add_queued(catalog, backup)
    mine, theirs = await claim(catalog, owner="node-a"), await claim(catalog, owner="node-b")
    assert await catalog.release_leases("node-a") == 1
    assert (await claim(catalog, mine)).fence == 2
    assert (await catalog.job(PROJECT, theirs.id)).fence == 1


async def test_a_job_given_back_is_resumed_at_once(catalog: Catalog, backup: Backup) -> None:
    job = await claim(catalog, await add_queued(catalog, backup))
    await catalog.release_job(job.id, job.fence)
    assert (await claim(catalog, job, "node-b")).fence == 2
    assert [attempt.state for attempt in await catalog.attempts(job.id)] == ["interrupted", "running"]


async def test_a_queued_backup_is_cancelled_at_once(catalog: Catalog) -> None:
    job = await add_creating(catalog)
    assert await catalog.request_cancel(PROJECT, job.id) is JobState.CANCELLED
    assert await state_of(catalog, job) == (JobState.CANCELLED, BackupState.ERROR)
    assert (await catalog.backup(PROJECT, job.of_backup)).failure == Failure("job.cancelled", "cancelled on request")
    assert await catalog.claim_job("node-a", LEASE_S) is None


async def test_a_running_job_is_cancelled_by_its_worker(catalog: Catalog) -> None:
    job = await claim(catalog, await add_creating(catalog))
    assert await catalog.request_cancel(PROJECT, job.id) is JobState.CANCELLING
    assert await catalog.request_cancel(PROJECT, job.id) is JobState.CANCELLING
    assert await catalog.heartbeat(job.id, job.fence, LEASE_S, Progress()) is JobState.CANCELLING
    assert await state_of(catalog, job) == (JobState.CANCELLING, BackupState.CREATING)
    await finish(catalog, job, JobState.CANCELLED)
    assert await state_of(catalog, job) == (JobState.CANCELLED, BackupState.ERROR)


async def test_a_cancellation_outlives_the_worker_that_was_to_carry_it_out(
    catalog: Catalog, backup: Backup, clock: VirtualClock
) -> None:
    job = await claim(catalog, await add_queued(catalog, backup))
    await catalog.request_cancel(PROJECT, job.id)
    clock.advance(LEASE_S)
    assert (await claim(catalog, job, "node-b")).state is JobState.CANCELLING


async def test_a_job_that_has_ended_is_not_cancelled(catalog: Catalog, backup: Backup) -> None:
    job = await claim(catalog, await add_queued(catalog, backup))
    await finish(catalog, job, JobState.SUCCEEDED)
    with pytest.raises(Conflict, match=f"job {job.id} is succeeded"):
        await catalog.request_cancel(PROJECT, job.id)


async def test_a_job_of_another_project_is_not_found(catalog: Catalog, backup: Backup) -> None:
    job = await add_queued(catalog, backup)
    with pytest.raises(NotFound):
        await catalog.job("another", job.id)
    with pytest.raises(NotFound):
        await catalog.request_cancel("another", job.id)


async def test_jobs_are_listed_newest_first_by_state_and_kind(catalog: Catalog, backup: Backup) -> None:
    verify = await add_queued(catalog, backup, created_at=START + timedelta(seconds=1))
    restore = await add_queued(
        catalog, backup, kind=JobKind.RESTORE, created_at=START + timedelta(seconds=2), request={"path": "/a"}
    )
    assert (await catalog.jobs(PROJECT))[:2] == [restore, verify]
    assert await catalog.jobs(PROJECT, limit=1) == [restore]
    assert await catalog.jobs(PROJECT, state=JobState.QUEUED, kind=JobKind.VERIFY) == [verify]


async def test_what_is_shown_has_no_changed_extents_but_the_worker_has(catalog: Catalog, backup: Backup) -> None:
    request = {"changed_extents": [[0, 512]]}
    job = await add_queued(catalog, backup, kind=JobKind.BACKUP, request=request)
    assert [one.request for one in await catalog.jobs(PROJECT, state=JobState.QUEUED)] == [{}]
    assert (await catalog.shown_job(PROJECT, job.id)).request == {}
    assert (await claim(catalog, job)).request == (await catalog.job(PROJECT, job.id)).request == request


async def test_a_later_attempt_finds_the_packs_of_the_earlier_one(catalog: Catalog, clock: VirtualClock) -> None:
    job = await claim(catalog, await add_creating(catalog))
    await catalog.record_packs(job.id, ["bb" * 16, "aa" * 16])
    clock.advance(LEASE_S)
    job = await claim(catalog, job, "node-b")
    assert await catalog.packs(job.id) == ["aa" * 16, "bb" * 16]


async def test_publishing_is_allowed_under_an_expired_lease_that_nobody_took(
    catalog: Catalog, clock: VirtualClock
) -> None:
    job = await claim(catalog, await add_creating(catalog))
    clock.advance(10 * LEASE_S)
    await publish(catalog, job)
    assert await state_of(catalog, job) == (JobState.RUNNING, BackupState.AVAILABLE)
