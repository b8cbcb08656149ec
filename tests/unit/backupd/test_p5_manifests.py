"""Promise P5, told by the target: whoever may not publish a backup leaves no manifest there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from backupd.catalog.store import Catalog
from backupd.errors import BackupdError, LeaseLost
from backupd.jobs.backup import BackupBody
from backupd.jobs.run import JobCancelled, JobRun
from backupd.model import BackupState, Job, JobState
from chunker.sources.memory import MemoryVolume
from targets.base import Body
from targets.memory import MemoryTarget
from tests.support.builders import LEASE_S, PROJECT, add_creating, claim, state_of
from tests.support.catalogs import open_catalog
from tests.support.jobs import job_resources
from tests.support.virtual_clock import VirtualClock

PACKS, MANIFESTS = "/packs/", "/manifests/"
VOLUME = MemoryVolume(600_000, seed=1)


class HoldingTarget(MemoryTarget):
    """Holds the first object of a kind, not stored yet, until the test lets go."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind
        self.held = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        if self._kind in key and not self.held.is_set():
            self.held.set()
            await self.may_go_on.wait()
        await super().put(key, body, if_absent=if_absent)

    def manifests(self) -> dict[str, bytes]:
        """Return the manifests that are stored by now."""
        return {key: body for key, body in self._objects.items() if MANIFESTS in key}


class Nodes:
    """Two daemons on one catalog and one target."""

    def __init__(self, directory: Path, clock: VirtualClock, catalogs: tuple[Catalog, Catalog]) -> None:
        self._directory = directory
        self.clock = clock
        self.first, self.second = catalogs

    async def back_up(self, catalog: Catalog, job: Job, target: MemoryTarget) -> None:
        """Run the body of a backup job, as the worker does."""
        directory = self._directory / f"indexes-{job.fence}"
        async with job_resources(directory, catalog, self.clock, target=target, source=VOLUME) as resources:
            await BackupBody(resources)(job, JobRun(catalog, job, LEASE_S))

    async def refused(
        self, target: HoldingTarget, meanwhile: Callable[[Job], Awaitable[None]], error: type[BackupdError]
    ) -> Job:
        """Let the first node back up, and something happen while the target holds it; it ends with ``error``."""
        job = await claim(self.first, await add_creating(self.first), "node-a")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fail(self.first, job, target, error))
            await target.held.wait()
            await meanwhile(job)
            target.may_go_on.set()
        return job

    async def _fail(self, catalog: Catalog, job: Job, target: MemoryTarget, error: type[BackupdError]) -> None:
        with pytest.raises(error):
            await self.back_up(catalog, job, target)


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    clock, path = VirtualClock(), tmp_path / "catalog.sqlite"
    async with open_catalog(path, clock) as first, open_catalog(path, clock) as second:
        yield Nodes(tmp_path, clock, (first, second))


async def test_p5_once_a_worker_that_lost_its_lease_writes_no_manifest(nodes: Nodes) -> None:
    async def lose(job: Job) -> None:
        nodes.clock.advance(LEASE_S)
        await claim(nodes.second, job, "node-b")

    target = HoldingTarget(PACKS)
    await nodes.refused(target, lose, LeaseLost)
    assert target.manifests() == {}


async def test_p5_once_a_worker_whose_job_was_cancelled_writes_no_manifest(nodes: Nodes) -> None:
    async def cancel(job: Job) -> None:
        await nodes.second.request_cancel(PROJECT, job.id)

    target = HoldingTarget(PACKS)
    await nodes.refused(target, cancel, JobCancelled)
    assert target.manifests() == {}


async def test_p5_once_a_manifest_that_stands_is_not_replaced_by_a_slower_worker(nodes: Nodes) -> None:
    target = HoldingTarget(MANIFESTS)
    standing: dict[str, bytes] = {}

    async def overtake(job: Job) -> None:
        nodes.clock.advance(LEASE_S)
        await nodes.back_up(nodes.second, await claim(nodes.second, job, "node-b"), target)
        standing.update(target.manifests())

    job = await nodes.refused(target, overtake, LeaseLost)
    assert len(standing) == 1
    assert target.manifests() == standing
    assert await state_of(nodes.first, job) == (JobState.RUNNING, BackupState.AVAILABLE)
