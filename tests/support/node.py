"""A worker on a catalog of its own, and bodies whose progress a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from backupd.jobs.run import JobRun
from backupd.jobs.worker import JobBody, Worker
from backupd.model import Job, JobKind, Progress
from tests.support.builders import LEASE_S, PROJECT
from tests.support.catalogs import WatchedCatalog, open_catalog
from tests.support.virtual_clock import VirtualClock

PROGRESS = Progress(3, 4)


class _Meter:
    def snapshot(self) -> Progress:
        return PROGRESS


@dataclass(slots=True)
class Body:
    """A body that waits until it may go on, and tells when it has begun and when it was cancelled."""

    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Queue[Job] = field(default_factory=lambda: asyncio.Queue(maxsize=100))
    was_cancelled: bool = False
    running: int = 0
    running_peak: int = 0

    async def __call__(self, job: Job, run: JobRun) -> None:
        run.progress = _Meter()
        self.running += 1
        self.running_peak = max(self.running_peak, self.running)
        self.begun.put_nowait(job)
        try:
            await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        finally:
            self.running -= 1


async def nothing(_: Job, __: JobRun) -> None:
    """Be done at once."""


@dataclass(frozen=True, slots=True)
class Node:
    """A catalog and workers on it."""

    catalog: WatchedCatalog
    clock: VirtualClock

    @asynccontextmanager
    async def working(self, body: JobBody, *, running_jobs_max: int = 2) -> AsyncIterator[Worker]:
        """Let a worker run for as long as the context lasts; in the end it interrupts its jobs at once."""
        worker = Worker(
            self.catalog,
            self.clock,
            "node-a",
            dict.fromkeys(JobKind, body),
            running_jobs_max=running_jobs_max,
            lease_s=LEASE_S,
            shutdown_timeout_s=0.0,
        )
        self.catalog.forget_writes()
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            try:
                yield worker
            finally:
                await worker.stop()

    async def heartbeats(self, *, sleepers: int = 2) -> None:
        """Let time pass until the heartbeats are due. A worker with a free slot sleeps too, for less."""
        await self.clock.asleep(sleepers)
        self.clock.advance(LEASE_S / 3)

    async def job(self, job: Job) -> Job:
        """Return the job as it is by now."""
        return await self.catalog.job(PROJECT, job.id)


@asynccontextmanager
async def open_node(directory: Path) -> AsyncIterator[Node]:
    """Open a node that has its catalog in ``directory``."""
    clock = VirtualClock()
    async with open_catalog(directory / "catalog.sqlite", clock) as catalog:
        yield Node(catalog, clock)
