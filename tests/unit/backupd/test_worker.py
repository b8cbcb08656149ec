from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from backupd.errors import CorruptObject
from backupd.jobs.run import JobRun
from backupd.jobs.worker import JobBody
from backupd.model import BackupState, Failure, Job, JobKind, JobState
from tests.support.builders import (
    PROJECT,
    add_available,
    add_creating,
    add_queued,
    state_of,
)
from tests.support.node import PROGRESS, Body, Node, nothing, open_node


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with open_node(tmp_path) as node:
        yield node


@pytest.fixture
async def queued(node: Node) -> Job:
    return await add_queued(node.catalog, await add_available(node.catalog))


@pytest.fixture
def body() -> Body:
    return Body()


def failing(error: Callable[[], BaseException]) -> JobBody:
    async def body(_: Job, __: JobRun) -> None:
        raise error()

    return body


async def test_a_queued_job_is_done(node: Node, queued: Job) -> None:
    async with node.working(nothing):
        await node.catalog.wrote("finish succeeded")
    assert [attempt.state for attempt in await node.catalog.attempts(queued.id)] == ["succeeded"]


async def test_a_new_job_wakes_the_worker(node: Node, queued: Job) -> None:
    async with node.working(nothing) as worker:
        await node.catalog.wrote("no job")
        await add_queued(node.catalog, await node.catalog.backup(PROJECT, queued.of_backup))
        worker.wake()
        await node.catalog.wrote("finish succeeded")


async def test_a_job_of_another_node_is_found_by_looking_now_and_then(node: Node, queued: Job) -> None:
    async with node.working(nothing):
        await node.catalog.wrote("no job")
        await add_queued(node.catalog, await node.catalog.backup(PROJECT, queued.of_backup))
        await node.clock.asleep()
        node.clock.advance(5)
        await node.catalog.wrote("finish succeeded")


async def test_no_more_jobs_are_claimed_than_may_run(node: Node, queued: Job, body: Body) -> None:
    backup = await node.catalog.backup(PROJECT, queued.of_backup)
    waiting = [await add_queued(node.catalog, backup) for _ in range(2)]
    async with node.working(body, running_jobs_max=2) as worker:
        first = [(await body.begun.get()).id for _ in range(2)]
        worker.wake()
        states = {job.id: job.state for job in await node.catalog.jobs(PROJECT, kind=JobKind.VERIFY)}
        assert {job_id for job_id, state in states.items() if state is JobState.RUNNING} == set(first)
        body.may_go_on.set()
        for _ in [queued, *waiting]:
            await node.catalog.wrote("finish succeeded")
    assert body.running_peak == 2


async def test_a_body_that_fails_fails_the_job_with_its_cause(node: Node) -> None:
    job = await add_creating(node.catalog)
    async with node.working(failing(lambda: CorruptObject("packs/aa is damaged"))):
        await node.catalog.wrote("finish failed")
    assert (await node.job(job)).failure == Failure("repository.corrupt", "packs/aa is damaged")
    assert await state_of(node.catalog, job) == (JobState.FAILED, BackupState.ERROR)


async def test_a_body_that_cancels_itself_fails_the_job(node: Node, queued: Job) -> None:
    async with node.working(failing(asyncio.CancelledError)):
        await node.catalog.wrote("finish failed")
    message = "unexpected CancelledError; the daemon's log has the details"
    assert (await node.job(queued)).failure == Failure("internal", message)


async def test_a_job_that_fails_does_not_disturb_the_next(node: Node, queued: Job) -> None:
    async def body(job: Job, _: JobRun) -> None:
        if job.id == queued.id:
            raise CorruptObject("packs/aa is damaged")

    async with node.working(body, running_jobs_max=1) as worker:
        await node.catalog.wrote("finish failed")
        await add_queued(node.catalog, await node.catalog.backup(PROJECT, queued.of_backup))
        worker.wake()
        await node.catalog.wrote("finish succeeded")


async def test_the_progress_of_a_running_job_is_live(node: Node, queued: Job, body: Body) -> None:
    async with node.working(body) as worker:
        await body.begun.get()
        assert worker.live_progress(queued.id) == PROGRESS
        assert worker.live_progress("another") is None
        body.may_go_on.set()
        await node.catalog.wrote("finish succeeded")
    assert worker.live_progress(queued.id) is None
    assert (await node.job(queued)).progress == PROGRESS


async def test_a_claim_that_fails_is_tried_again(node: Node, queued: Job) -> None:
    node.catalog.broken.add("claim")
    async with node.working(nothing) as worker:
        await node.catalog.wrote("no claim")
        node.catalog.broken.clear()
        worker.wake()
        await node.catalog.wrote("finish succeeded")
    assert (await node.job(queued)).fence == 1
