from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backupd.errors import LeaseLost
from backupd.jobs.run import JobRun
from backupd.model import Job
from tests.support.builders import (
    LEASE_S,
    add_available,
    add_queued,
    claim,
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


async def test_heartbeats_keep_the_lease_for_as_long_as_the_job_runs(node: Node, queued: Job, body: Body) -> None:
    async with node.working(body):
        await body.begun.get()
        for _ in range(9):
            await node.heartbeats()
            await node.catalog.wrote("heartbeat")
        assert await node.catalog.claim_job("node-b", LEASE_S) is None
        assert (await node.job(queued)).progress == PROGRESS


async def test_a_failed_heartbeat_is_tried_again(node: Node, queued: Job, body: Body) -> None:
    async with node.working(body):
        await body.begun.get()
        node.catalog.broken.add("heartbeat")
        await node.heartbeats()
        await node.catalog.wrote("no heartbeat")
        node.catalog.broken.clear()
        await node.heartbeats()
        await node.catalog.wrote("heartbeat")
        body.may_go_on.set()
        await node.catalog.wrote("finish succeeded")
    assert (await node.job(queued)).fence == 1


async def test_a_job_whose_end_could_not_be_written_is_done_again(node: Node, queued: Job) -> None:
    node.catalog.broken.add("finish")
    async with node.working(nothing) as worker:
        await node.catalog.wrote("no finish")
        node.catalog.broken.clear()
        node.clock.advance(LEASE_S)
        worker.wake()
        await node.catalog.wrote("finish succeeded")
    assert [attempt.state for attempt in await node.catalog.attempts(queued.id)] == ["lost", "succeeded"]


async def test_a_body_ends_when_its_job_was_taken_over(node: Node, queued: Job, body: Body) -> None:
    async with node.working(body, running_jobs_max=1):
        await body.begun.get()
        await node.catalog.release_leases("node-a")
        taken = await claim(node.catalog, queued, "node-b")
        await node.heartbeats(sleepers=1)
        await node.catalog.wrote("no job")  # It has a free slot again.
    assert body.was_cancelled
    assert await node.job(queued) == taken


async def test_a_job_taken_over_while_it_ends_is_left_to_the_other(node: Node, queued: Job, body: Body) -> None:
    async with node.working(body, running_jobs_max=1):
        await body.begun.get()
        await node.catalog.release_leases("node-a")
        taken = await claim(node.catalog, queued, "node-b")
        body.may_go_on.set()
        await node.catalog.wrote("no job")
    assert await node.job(queued) == taken


async def test_publishing_begins_only_under_the_lease(node: Node, queued: Job) -> None:
    old = await claim(node.catalog, queued)
    node.clock.advance(LEASE_S)
    await claim(node.catalog, queued, "node-b")
    with pytest.raises(LeaseLost):
        await JobRun(node.catalog, old, LEASE_S).begin_publish()


class Lingering(Body):
    """A body that takes its time to end once it is cancelled."""

    async def __call__(self, job: Job, run: JobRun) -> None:
        try:
            await super().__call__(job, run)
        finally:
            await self.may_go_on.wait()


async def test_a_worker_may_take_its_own_job_over(node: Node, queued: Job) -> None:
    body = Lingering()
    async with node.working(body) as worker:
        await body.begun.get()
        await node.catalog.release_leases("node-a")  # As if it had slept for longer than its lease.
        worker.wake()
        assert (await body.begun.get()).fence == 2
        assert worker.live_progress(queued.id) == PROGRESS
        body.may_go_on.set()
        await node.catalog.wrote("finish succeeded")
        await node.catalog.wrote("no job")
        assert worker.live_progress(queued.id) is None
    assert [attempt.state for attempt in await node.catalog.attempts(queued.id)] == ["lost", "succeeded"]
