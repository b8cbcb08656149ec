"""One daemon of a run: the real services, worker, jobs, pipelines and repository, in a world that several share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from backupd.application import Application, build_application
from backupd.catalog import jobs
from backupd.config import AuditConfig, Config
from backupd.errors import BackupdError
from backupd.jobs.backup import BackupBody
from backupd.jobs.catching_up import CatchingUp
from backupd.jobs.collect import CollectBody
from backupd.jobs.collecting import Collecting
from backupd.jobs.copy import CopyBody
from backupd.jobs.delete import DeleteBody
from backupd.jobs.deleting import Deleting
from backupd.jobs.enlisting import Enlisting
from backupd.jobs.forgetting import forgetting
from backupd.jobs.repair import RepairBody
from backupd.jobs.replicate import ReplicateBody
from backupd.jobs.resources import Resources
from backupd.jobs.restore import RestoreBody
from backupd.jobs.run import JobRun
from backupd.jobs.scrub import ScrubBody
from backupd.jobs.verify import VerifyBody
from backupd.jobs.worker import JobBody, Worker
from backupd.model import Job, JobKind, Volume
from backupd.pipeline.budget import ByteBudget
from backupd.repository.keyring import Keyring
from backupd.repository.opened import Repositories
from backupd.simulation.lifeline import Died, Lifeline, LivingCatalog, LivingTarget, LivingWorkers
from backupd.simulation.loop import LoopClock, SimulatedLoop
from backupd.simulation.model import Model, Violation
from backupd.simulation.store import Store
from backupd.simulation.trace import Trace
from backupd.simulation.traced import Traced
from chunker.sources.base import Source
from chunker.sources.open import Sources
from targets.base import Target
from targets.errors import TargetError
from targets.wrappers.faults import Fault, Faults
from targets.wrappers.limit import Limit
from targets.wrappers.observe import Observe
from targets.wrappers.retry import Retry

LEASE_S = 120.0
_POLL_INTERVAL_S = 600.0
JOB_MEMORY_BYTES = 32 * 1024 * 1024
SIMULATED_KINDS = frozenset(JobKind) - {JobKind.PROBE, JobKind.CLONE, JobKind.IMPORT}
_LOOK_INTERVAL_S = 3600.0
_LIVE_SHARE_MIN = 0.7  # More than the usual, so that more is compacted.
_PUBLISHED_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What outlives every daemon: disks, targets, and what may go wrong with them. ``faults`` may change."""

    directory: Path
    loop: SimulatedLoop
    config: Config
    trace: Trace
    model: Model
    stores: Mapping[str, Store]
    open_source: Callable[[Volume], Source]
    keyring: Keyring
    faults: Sequence[Fault]
    engine: Engine
    clock: LoopClock = field(default_factory=LoopClock)


class WatchedCatalog(LivingCatalog):
    """Tells the model who publishes what, and that the job was theirs."""

    model: Model

    async def publish_backup(self, backup_id: str, *, job_id: str, fence: int, **result: Any) -> None:
        # Asked first: fences only grow, so whoever may publish a moment later holds the job now.
        is_theirs = await self._run(_is_held, job_id, fence)
        await super().publish_backup(backup_id, job_id=job_id, fence=fence, **result)
        self.model.published(backup_id, is_theirs=is_theirs)


def _is_held(connection: Connection, job_id: str, fence: int) -> bool:
    return jobs.one(connection, job_id).fence == fence


@dataclass(frozen=True, slots=True)
class WatchedResources(Resources):
    """Remembers the budgets that jobs were given."""

    budgets: list[ByteBudget]

    def budget(self) -> ByteBudget:
        budget = ByteBudget(self.job_memory_bytes)
        self.budgets.append(budget)
        return budget


class Node:
    """Starts, stops, hangs and dies. ``name`` says whose leases it finds again when it starts."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.clock = LoopClock()
        self.is_crashed = False
        self.is_paused = False
        self._budgets: list[ByteBudget] = []
        self._world = world
        self._lifeline = Lifeline()

    async def start(self, lives: asyncio.TaskGroup) -> None:
        """Begin, as after the start of a process: with what is on the disks, and nothing else."""
        world = self._world
        self._catalog = WatchedCatalog(world.engine, self.clock)
        self._catalog.lifeline, self._catalog.model = self._lifeline, world.model
        self._workers = LivingWorkers(2, self._lifeline)
        self._executor = ThreadPoolExecutor(1)
        observed = {name: Observe(self._faulty(store), name=name) for name, store in world.stores.items()}
        targets = {name: self._limited(one) for name, one in observed.items()}
        self._state = world.directory / self.name
        (self._state / "collections").mkdir(parents=True, exist_ok=True)
        self._repositories = Repositories(
            targets,
            world.keyring,
            self.clock,
            self._state / "indexes",
            enlist=Enlisting(self._catalog, self.name),
        )
        self._published: asyncio.Queue[Job] = asyncio.Queue(_PUBLISHED_MAX)
        self._worker = self._make_worker()
        self._application = self._make_application(observed)
        living = {name: LivingTarget(one, self._lifeline) for name, one in observed.items()}
        self._catching_up = CatchingUp(
            self._catalog, self.clock, living, wake=self._worker.wake, interval_s=_LOOK_INTERVAL_S
        )
        self._collecting = Collecting(
            self._catalog,
            self.clock,
            {name: target.collect_interval_s for name, target in world.config.targets.items()},
            wake=self._worker.wake,
        )
        self._deleting = Deleting(self._catalog, self.clock, wake=self._worker.wake)
        self._life = lives.create_task(self._live(), name=f"node {self.name}")

    def wake(self) -> None:
        self._worker.wake()

    def pause(self, *, after_steps: int) -> None:
        """Hang from the n-th await from now on."""
        self.is_paused = True
        self._cut(after_steps)

    def resume(self) -> None:
        """Go on, without knowing that time has passed."""
        if not self.is_crashed:
            self.is_paused = False
            self._lifeline.resume()

    def crash(self, *, after_steps: int) -> None:
        """Die at the n-th await from now on; 0: at once."""
        self.is_crashed = True
        self._cut(after_steps)

    def crash_after_put(self, part: str) -> None:
        """Die as soon as an object with ``part`` in its key is stored."""
        self.is_crashed = True
        self._lifeline.cut_after_put(part)

    async def stop(self) -> None:
        """End as on SIGTERM."""
        await self._worker.stop()
        self._chores.cancel()
        await asyncio.wait([self._life])
        await self._close()

    def give_up(self) -> None:
        """Let everything that the node waits for fail: the run is over."""
        self.is_crashed = True
        self._lifeline.bury()

    async def bury(self) -> None:
        """Release what a dead node held, once nothing depends on it any more."""
        self.give_up()
        self._chores.cancel()
        await asyncio.wait([self._life])
        await self._close()

    def check_memory(self, *, is_idle: bool) -> None:
        """Violation when a job had more memory than it may, or an idle node holds some."""
        for budget in self._budgets:
            if budget.used_bytes_max > budget.limit_bytes or (is_idle and budget.used_bytes):
                raise Violation(f"{self.name}: a job has {budget.used_bytes} of {budget.limit_bytes} bytes")
        self._budgets[:] = [budget for budget in self._budgets if budget.used_bytes]

    def _cut(self, after_steps: int) -> None:
        if after_steps:
            self._lifeline.cut_after(after_steps)
        else:
            self._lifeline.cut()

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                self._chores = tasks.create_task(self._do_chores(), name=f"chores of {self.name}")
                tasks.create_task(self._worker.run(), name=f"worker of {self.name}")
        except* Died:
            assert self.is_crashed

    async def _do_chores(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_now_and_then(), name="looking")
            tasks.create_task(self._application.retention.run(self._published), name="retention")

    async def _look_now_and_then(self) -> None:
        """Ask all at one time who looks what is due, and seldom: nothing comes of most of their looks."""
        while True:
            for look in (self._catching_up.look, self._collecting.look, self._deleting.look):
                try:
                    if await look():
                        self._worker.wake()
                except (BackupdError, TargetError) as error:
                    self._world.trace.aside(f"{self.name}: {error}")
            await asyncio.sleep(_LOOK_INTERVAL_S)

    async def _close(self) -> None:
        self._workers.close()
        self._executor.shutdown()
        self._repositories.close()
        await self._catalog.aclose()

    def _faulty(self, store: Store) -> Target:
        faulty = Faults(store, self._world.faults, seed=self._world.loop.random.getrandbits(32))
        return Traced(faulty, self._world.trace, f"{self.name} {store.name}")

    def _limited(self, observed: Observe) -> Target:
        """Stack the wrappers as the service does."""
        retried = Retry(observed, retries_max=5, timeout_s=60, random=self._world.loop.random)
        limited = Limit(retried, operations_max=8, monotonic=self.clock.monotonic)
        return LivingTarget(limited, self._lifeline)

    def _make_application(self, observed: Mapping[str, Observe]) -> Application:
        return build_application(
            catalog=self._catalog,
            clock=self.clock,
            config=self._world.config,
            sources=Sources({}),
            observed=observed,
            executor=self._executor,
            wake=self._worker.wake,
            sign=lambda text: text,
        )

    def _make_worker(self) -> Worker:
        resources = WatchedResources(
            catalog=self._catalog,
            clock=self.clock,
            repositories=self._repositories,
            workers=self._workers,
            open_source=self._world.open_source,
            check_destination=lambda _path, _overwrite: None,
            check_overwritable=lambda _path: None,
            job_memory_bytes=JOB_MEMORY_BYTES,
            audit=AuditConfig(cover_within_backups=8),
            budgets=self._budgets,
        )
        bodies: dict[JobKind, JobBody] = {
            JobKind.BACKUP: self._announced(BackupBody(resources)),
            JobKind.RESTORE: RestoreBody(resources),
            JobKind.VERIFY: VerifyBody(resources),
            JobKind.DELETE: DeleteBody(resources),
            JobKind.COPY: CopyBody(resources),
            JobKind.REPLICATE: ReplicateBody(resources),
            JobKind.SCRUB: ScrubBody(resources),
            JobKind.REPAIR: RepairBody(resources),
            JobKind.COLLECT: CollectBody(resources, self._state / "collections", lambda _target: _LIVE_SHARE_MIN),
        }
        assert bodies.keys() == SIMULATED_KINDS
        return Worker(
            self._catalog,
            self.clock,
            self.name,
            {kind: forgetting(body, self._repositories, self._catalog) for kind, body in bodies.items()},
            running_jobs_max=2,
            lease_s=LEASE_S,
            poll_interval_s=_POLL_INTERVAL_S,
            shutdown_timeout_s=self._world.loop.random.choice([0.0, 5.0, 60.0]),
        )

    def _announced(self, body: JobBody) -> JobBody:
        async def run_and_announce(job: Job, run: JobRun) -> None:
            await body(job, run)
            await self._published.put(job)

        return run_and_announce
