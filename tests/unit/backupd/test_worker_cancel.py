from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backupd.errors import Conflict
from backupd.jobs.run import JobRun
from backupd.model import BackupState, Failure, Job, JobState
from tests.support.builders import (
    LEASE_S,
    PROJECT,
    add_available,
    add_creating,
    add_queued,
    claim,
    publish,
    state_of,
)
from tests.support.node import Body, Node, open_node


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


async def test_a_cancelled_job_is_told_at_once(node: Node, queued: Job, body: Body) -> None:
    async with node.working(body) as worker:
        await body.begun.get()
        await node.catalog.request_cancel(PROJECT, queued.id)
        worker.wake()
        await node.catalog.wrote("finish cancelled")
    assert body.was_cancelled
    assert (await node.job(queued)).failure == Failure("job.cancelled", "cancelled on request")


async def test_a_job_that_was_cancelled_before_a_crash_does_not_begin_again(node: Node, body: Body) -> None:
    job = await claim(node.catalog, await add_creating(node.catalog))
    await node.catalog.request_cancel(PROJECT, job.id)
    async with node.working(body):
        await node.catalog.wrote("finish cancelled")
    assert body.begun.empty()
    assert await state_of(node.catalog, job) == (JobState.CANCELLED, BackupState.ERROR)


async def test_a_cancellation_during_publishing_comes_too_late(node: Node, body: Body) -> None:
    async def publishing(job: Job, run: JobRun) -> None:
        await run.begin_publish()
        await body(job, run)
        await publish(node.catalog, job)

    job = await add_creating(node.catalog)
    async with node.working(publishing):
        await body.begun.get()
        with pytest.raises(Conflict, match="is publishing its backup and cannot be cancelled any more"):
            await node.catalog.request_cancel(PROJECT, job.id)
        body.may_go_on.set()
        await node.catalog.wrote("finish succeeded")
    assert await state_of(node.catalog, job) == (JobState.SUCCEEDED, BackupState.AVAILABLE)


async def test_a_cancellation_comes_too_late_also_when_the_publisher_has_died(node: Node) -> None:
    job = await claim(node.catalog, await add_creating(node.catalog))
    await JobRun(node.catalog, job, LEASE_S).begin_publish()
    node.clock.advance(LEASE_S)
    with pytest.raises(Conflict, match="is publishing"):
        await node.catalog.request_cancel(PROJECT, job.id)
    assert (await claim(node.catalog, job)).state is JobState.RUNNING


async def test_a_cancelled_job_does_not_begin_to_publish(node: Node) -> None:
    async def body(job: Job, run: JobRun) -> None:
        await node.catalog.request_cancel(PROJECT, job.id)
        await run.begin_publish()
        await publish(node.catalog, job)

    job = await add_creating(node.catalog)
    async with node.working(body):
        await node.catalog.wrote("finish cancelled")
    assert await state_of(node.catalog, job) == (JobState.CANCELLED, BackupState.ERROR)
