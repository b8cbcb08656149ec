"""Promise P5: two workers never both publish one backup."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backupd.catalog.store import Catalog
from backupd.errors import LeaseLost
from backupd.model import BackupState, Job, JobState
from tests.support.builders import (
    LEASE_S,
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
async def nodes(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[tuple[Catalog, Catalog]]:
    path = tmp_path / "catalog.sqlite"
    async with open_catalog(path, clock) as first, open_catalog(path, clock) as second:
        yield first, second


async def test_p5_once_a_worker_that_lost_its_lease_cannot_publish(
    nodes: tuple[Catalog, Catalog], clock: VirtualClock
) -> None:
    old = await claim(nodes[0], await add_creating(nodes[0]), "node-a")
    clock.advance(LEASE_S)
    new = await claim(nodes[1], old, "node-b")
    with pytest.raises(LeaseLost):
        await publish(nodes[0], old)
    assert await state_of(nodes[1], new) == (JobState.RUNNING, BackupState.CREATING)
    await publish(nodes[1], new)
    await finish(nodes[1], new, JobState.SUCCEEDED)
    assert await state_of(nodes[0], new) == (JobState.SUCCEEDED, BackupState.AVAILABLE)


async def test_p5_once_the_old_worker_cannot_publish_after_the_new_one_has_failed(
    nodes: tuple[Catalog, Catalog], clock: VirtualClock
) -> None:
    old = await claim(nodes[0], await add_creating(nodes[0]), "node-a")
    clock.advance(LEASE_S)
    await finish(nodes[1], await claim(nodes[1], old, "node-b"), JobState.FAILED)
    with pytest.raises(LeaseLost):
        await publish(nodes[0], old)
    assert await state_of(nodes[0], old) == (JobState.FAILED, BackupState.ERROR)


async def test_p5_once_two_nodes_never_claim_the_same_job(nodes: tuple[Catalog, Catalog]) -> None:
    backup = await add_available(nodes[0])
    queued = [await add_queued(nodes[0], backup) for _ in range(40)]
    claimed: list[Job] = []
    both = asyncio.Barrier(2)

    async def claim_half(catalog: Catalog, owner: str) -> None:
        for _ in range(20):
            await both.wait()  # So that each round is a race.
            claimed.append(await claim(catalog, owner=owner))

    async with asyncio.TaskGroup() as group:
        group.create_task(claim_half(nodes[0], "node-a"))
        group.create_task(claim_half(nodes[1], "node-b"))
    assert sorted(job.id for job in claimed) == sorted(job.id for job in queued)
    assert {job.fence for job in claimed} == {1}
