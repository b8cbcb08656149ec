from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backupd.jobs.worker import LOST_ATTEMPTS_MAX
from backupd.model import BackupState, Job, JobState
from tests.support.builders import (
    add_available,
    add_creating,
    add_queued,
    claim,
    publish,
    state_of,
)
from tests.support.node import Body, Node, nothing, open_node


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


async def test_a_job_is_resumed_at_once_after_a_crash(node: Node, queued: Job) -> None:
    await claim(node.catalog, queued)
    async with node.working(nothing):
        await node.catalog.wrote("finish succeeded")
    assert [attempt.state for attempt in await node.catalog.attempts(queued.id)] == ["lost", "succeeded"]


async def crash(node: Node, job: Job, times: int) -> None:
    """Let that many daemons die while they do the job."""
    for _ in range(times):
        await claim(node.catalog, job)
        await node.catalog.release_leases("node-a")


async def test_a_job_that_kills_the_daemon_again_and_again_is_given_up(node: Node, body: Body) -> None:
    job = await add_creating(node.catalog)
    await crash(node, job, LOST_ATTEMPTS_MAX)
    async with node.working(body):
        await node.catalog.wrote("finish failed")
    failure = (await node.job(job)).failure
    assert failure is not None
    assert failure.code == "job.crash_loop"
    assert body.begun.empty()
    assert await state_of(node.catalog, job) == (JobState.FAILED, BackupState.ERROR)


async def test_a_job_is_tried_as_often_as_promised(node: Node, queued: Job) -> None:
    await crash(node, queued, LOST_ATTEMPTS_MAX - 1)
    async with node.working(nothing):
        await node.catalog.wrote("finish succeeded")


async def test_a_published_backup_survives_the_end_of_a_crash_loop(node: Node) -> None:
    job = await add_creating(node.catalog)
    await crash(node, job, LOST_ATTEMPTS_MAX - 1)
    await publish(node.catalog, await claim(node.catalog, job))
    async with node.working(nothing):
        await node.catalog.wrote("finish failed")  # That is what the worker asks for.
    assert await state_of(node.catalog, job) == (JobState.SUCCEEDED, BackupState.AVAILABLE)
