from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backupd.jobs.run import JobRun
from backupd.jobs.worker import LOST_ATTEMPTS_MAX, Worker
from backupd.model import BackupState, Job, JobKind, JobState
from tests.support.builders import LEASE_S, add_available, add_creating, add_queued, claim, state_of
from tests.support.catalogs import WatchedCatalog, open_catalog
from tests.support.virtual_clock import VirtualClock

SHUTDOWN_TIMEOUT_S = 20.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def catalog(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[WatchedCatalog]:
    async with open_catalog(tmp_path / "catalog.sqlite", clock) as catalog:
        yield catalog


class Body:
    """A body that waits until it may go on."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def __call__(self, job: Job, run: JobRun) -> None:
        self.begun.set()
        await self.may_go_on.wait()


def make_worker(catalog: WatchedCatalog, clock: VirtualClock, body: Body) -> Worker:
    return Worker(
        catalog,
        clock,
        "node-a",
        dict.fromkeys(JobKind, body),
        running_jobs_max=1,
        lease_s=LEASE_S,
        shutdown_timeout_s=SHUTDOWN_TIMEOUT_S,
    )


async def interrupt(catalog: WatchedCatalog, clock: VirtualClock) -> None:
    """Run a worker until it has begun the one job there is, and stop it."""
    body = Body()
    worker = make_worker(catalog, clock, body)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await body.begun.wait()
        group.create_task(worker.stop())
        await clock.asleep(2)  # The heartbeat and the deadline.
        clock.advance(SHUTDOWN_TIMEOUT_S)


async def test_a_running_job_may_end_before_the_deadline(catalog: WatchedCatalog, clock: VirtualClock) -> None:
    job, body = await add_creating(catalog), Body()
    worker = make_worker(catalog, clock, body)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await body.begun.wait()
        stopping = group.create_task(worker.stop())
        await clock.asleep(2)
        assert not stopping.done()
        body.may_go_on.set()
    assert (await catalog.job(job.project, job.id)).state is JobState.SUCCEEDED


async def test_a_job_that_does_not_end_is_given_back(catalog: WatchedCatalog, clock: VirtualClock) -> None:
    job = await add_creating(catalog)
    await interrupt(catalog, clock)
    assert await state_of(catalog, job) == (JobState.RUNNING, BackupState.CREATING)
    assert [attempt.state for attempt in await catalog.attempts(job.id)] == ["interrupted"]
    assert (await claim(catalog, job, "node-b")).fence == 2


async def test_being_interrupted_often_is_no_crash_loop(catalog: WatchedCatalog, clock: VirtualClock) -> None:
    job = await add_creating(catalog)
    for _ in range(LOST_ATTEMPTS_MAX + 2):
        await interrupt(catalog, clock)
    assert await state_of(catalog, job) == (JobState.RUNNING, BackupState.CREATING)


async def test_publishing_does_not_keep_the_daemon_from_stopping(catalog: WatchedCatalog, clock: VirtualClock) -> None:
    class Publishing(Body):
        async def __call__(self, job: Job, run: JobRun) -> None:
            await run.begin_publish()
            await super().__call__(job, run)

    job, body = await add_creating(catalog), Publishing()
    worker = make_worker(catalog, clock, body)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await body.begun.wait()
        group.create_task(worker.stop())
        await clock.asleep(2)
        clock.advance(SHUTDOWN_TIMEOUT_S)
    assert await state_of(catalog, job) == (JobState.RUNNING, BackupState.CREATING)


async def test_nothing_is_claimed_after_stop(catalog: WatchedCatalog, clock: VirtualClock) -> None:
    body = Body()
    worker = make_worker(catalog, clock, body)
    await worker.stop()
    job = await add_queued(catalog, await add_available(catalog))
    await worker.run()
    assert (await catalog.job(job.project, job.id)).state is JobState.QUEUED


async def test_a_job_that_is_being_claimed_during_stop_is_given_back(
    catalog: WatchedCatalog, clock: VirtualClock
) -> None:
    job, body = await add_creating(catalog), Body()
    worker = make_worker(catalog, clock, body)
    catalog.forget_writes()
    catalog.may_hand_out.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await catalog.wrote("claim")
        await worker.stop()  # It knows of no job yet.
        catalog.may_hand_out.set()
    assert not body.begun.is_set()
    assert await state_of(catalog, job) == (JobState.RUNNING, BackupState.CREATING)
    assert (await claim(catalog, job, "node-b")).fence == 2


async def test_the_leases_of_other_nodes_are_left_alone(catalog: WatchedCatalog, clock: VirtualClock) -> None:
    job = await claim(catalog, await add_creating(catalog), "node-b")
    worker = make_worker(catalog, clock, Body())
    catalog.forget_writes()
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await catalog.wrote("no job")
        await worker.stop()
    assert await catalog.job(job.project, job.id) == job
