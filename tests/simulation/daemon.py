"""One daemon of a run: the real worker, jobs, pipelines and repository, over a world that several may share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backupd.jobs.backup import BackupBody
from backupd.jobs.delete import DeleteBody
from backupd.jobs.forgetting import forgetting
from backupd.jobs.resources import Resources
from backupd.jobs.restore import RestoreBody
from backupd.jobs.verify import VerifyBody
from backupd.jobs.worker import JobBody, Worker
from backupd.model import JobKind, Volume
from backupd.pipeline.budget import ByteBudget
from backupd.repository.keyring import Keyring
from backupd.repository.opened import Repositories
from chunker.sources.base import Source
from targets.memory import MemoryTarget
from targets.wrappers.faults import Fault, Faults
from targets.wrappers.limit import Limit
from targets.wrappers.retry import Retry
from tests.simulation.lifeline import Died, Lifeline, LivingCatalog, LivingTarget, LivingWorkers, NumberedPacks
from tests.support.simulated_loop import LoopClock, SimulatedLoop

LEASE_S = 30.0
TARGET = "local"
JOB_MEMORY_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Shared:
    """What outlives every daemon: disks, the target, and what may go wrong with it. ``faults`` may change."""

    directory: Path
    loop: SimulatedLoop
    open_source: Callable[[Volume], Source]
    faults: Sequence[Fault]
    clock: LoopClock = field(default_factory=LoopClock)
    stored: MemoryTarget = field(default_factory=MemoryTarget)
    pack_names: dict[str, str] = field(default_factory=dict)
    keyring: Keyring = field(default_factory=lambda: Keyring([bytes(range(32))], origin="simulation"))

    @property
    def catalog_url(self) -> str:
        return f"sqlite:///{self.directory}/catalog.sqlite"


@dataclass(frozen=True, slots=True)
class WatchedResources(Resources):
    """Remembers the budgets that jobs were given."""

    budgets: list[ByteBudget]

    def budget(self) -> ByteBudget:
        budget = ByteBudget(self.job_memory_bytes)
        self.budgets.append(budget)
        return budget


class Daemon:
    """Starts, stops, hangs and dies. ``name`` says whose leases it finds again when it starts."""

    def __init__(self, shared: Shared, name: str) -> None:
        self.name = name
        self.budgets: list[ByteBudget] = []
        self.is_crashed = False
        self._shared = shared
        self._lifeline = Lifeline()

    async def start(self, lives: asyncio.TaskGroup) -> None:
        shared = self._shared
        self._catalog = await LivingCatalog.open(shared.catalog_url, shared.clock)
        self._workers = LivingWorkers(2, self._lifeline)
        indexes = shared.directory / f"indexes-{self.name}"
        self._repositories = Repositories({TARGET: self._target()}, shared.keyring, shared.clock, indexes)
        self._worker = self._make_worker()
        self._life = lives.create_task(self._live(), name=f"daemon {self.name}")

    def wake(self) -> None:
        self._worker.wake()

    def pause(self) -> None:
        self._lifeline.cut()

    def resume(self) -> None:
        self._lifeline.resume()

    def crash(self) -> None:
        self.is_crashed = True
        self._lifeline.cut()

    async def stop(self) -> None:
        await self._worker.stop()
        await asyncio.wait([self._life])
        await self._close()

    async def bury(self) -> None:
        self._lifeline.bury()
        await asyncio.wait([self._life])
        await self._close()

    async def _live(self) -> None:
        try:
            await self._worker.run()
        except* Died:
            assert self.is_crashed

    async def _close(self) -> None:
        self._workers.close()
        self._repositories.close()
        await self._catalog.aclose()

    def _target(self) -> LivingTarget:
        """Stack the wrappers as the service does, over faults."""
        shared = self._shared
        faulty = Faults(shared.stored, shared.faults, seed=shared.loop.random.getrandbits(32))
        retried = Retry(
            NumberedPacks(faulty, shared.pack_names), retries_max=5, timeout_s=60, random=shared.loop.random
        )
        limited = Limit(retried, operations_max=8, monotonic=shared.clock.monotonic)
        return LivingTarget(limited, self._lifeline)

    def _make_worker(self) -> Worker:
        self._catalog.lifeline = self._lifeline
        resources = WatchedResources(
            catalog=self._catalog,
            clock=self._shared.clock,
            repositories=self._repositories,
            workers=self._workers,
            open_source=self._shared.open_source,
            check_destination=lambda _path, _overwrite: None,
            check_overwritable=lambda _path: None,
            job_memory_bytes=JOB_MEMORY_BYTES,
            budgets=self.budgets,
        )
        bodies: dict[JobKind, JobBody] = {
            JobKind.BACKUP: BackupBody(resources),
            JobKind.RESTORE: RestoreBody(resources),
            JobKind.VERIFY: VerifyBody(resources),
            JobKind.DELETE: DeleteBody(resources),
        }
        return Worker(
            self._catalog,
            self._shared.clock,
            self.name,
            {kind: forgetting(body, self._repositories) for kind, body in bodies.items()},
            running_jobs_max=2,
            lease_s=LEASE_S,
            shutdown_timeout_s=self._shared.loop.random.choice([0.0, 5.0, 60.0]),
        )
