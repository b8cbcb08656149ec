"""One run: days in the life of daemons, volumes and targets, all of it drawn from one seed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, Engine, select

from backupd.application import Application, build_application
from backupd.catalog import rows
from backupd.catalog.engine import engine_of
from backupd.catalog.store import Catalog
from backupd.catalog.tables import jobs
from backupd.config import Config, DaemonConfig, PathsConfig, RetentionConfig, TargetConfig
from backupd.model import UNFINISHED, Backup, Job, JobState, Volume
from backupd.repository.keyring import Keyring
from backupd.simulation.guests import Guest
from backupd.simulation.loop import SimulatedLoop
from backupd.simulation.model import Model, Seen, Violation
from backupd.simulation.node import LEASE_S, Node, World
from backupd.simulation.restored import Restored
from backupd.simulation.store import Store
from backupd.simulation.trace import Trace
from backupd.simulation.weather import draw_weather
from chunker.sources.base import Source
from chunker.sources.open import Sources
from targets.wrappers.faults import Fault
from targets.wrappers.observe import Observe

PROJECT = "default"
TARGETS = ("near", "far")
_DAY_S = 86_400.0
_STEPS_A_DAY = (1, 1, 2, 2, 5)
_PAUSES_S = (0.0, 0.01, 0.2, 1.0, 5.0, 30.0, 1.5 * LEASE_S)
_COLLECT_INTERVAL_S = 15 * _DAY_S
_QUIET_S_MAX = 8 * 3600.0
_CALM_EVENINGS = 0.6
_UNFINISHED_JOBS = select(jobs).where(jobs.c.state.in_(UNFINISHED)).order_by(jobs.c.created_at, jobs.c.id)


class Run:
    """The driver: lets days pass, and checks after each step. What happens in a step is drawn by ``Happenings``."""

    def __init__(self, directory: Path, trace: Trace) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        self.loop = loop
        self.random = loop.random
        self.trace = trace
        self.faults: list[Fault] = []
        self.guests: dict[str, Guest] = {}
        self.stores = {name: Store(name) for name in TARGETS}
        self.nodes: list[Node] = []
        self.dead: list[Node] = []
        self.pending: list[tuple[float, str, Callable[[], None]]] = []
        keyring = Keyring([bytes(range(32))], origin="simulation")
        self.model = Model(self.stores, self.guests, keyring)
        self.restored = Restored(directory / "restores", self.model)
        self.world = World(
            directory=directory,
            loop=loop,
            config=_configuration(directory),
            trace=trace,
            model=self.model,
            stores=self.stores,
            open_source=self._open_source,
            keyring=keyring,
            faults=self.faults,
            engine=_engine_of(f"sqlite:///{directory}/catalog.sqlite"),
        )

    async def run(self, days: int, set_up: Happen, happen: Happen) -> None:
        """Play, let everything come to its end, and check."""
        self.catalog = await Catalog.open(self.world.engine, self.world.clock)
        try:
            with ThreadPoolExecutor(1) as executor:
                self.operator = self._operator(executor)
                await set_up(self)
                async with asyncio.TaskGroup() as self.lives:
                    try:
                        await self._live(days, happen)
                    except BaseException:
                        for node in [*self.nodes, *self.dead]:
                            node.give_up()
                        raise
        finally:
            await self.catalog.aclose()  # Or the next run in this directory would go on with this database.

    async def _live(self, days: int, happen: Happen) -> None:
        for _ in range(self.random.choice([1, 1, 2])):
            await self.start_node()
        for day in range(days):
            await self._day(day, happen)
        await self._last_evening()
        await self._end()

    def note(self, what: str) -> None:
        self.trace.note(what)

    def later(self, delay_s: float, what: str, then: Callable[[], None]) -> None:
        """Do something after a while, or when the day calms down."""
        self.pending.append((self.loop.time() + delay_s, what, then))

    def wake(self) -> None:
        """Tell one node that there is work, as its API would; the others look for it now and then."""
        self.random.choice(self.nodes).wake()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def seen(self) -> Seen:
        """Check everything that must hold now, and return what the catalog says."""
        seen = await self.model.check(self.catalog, PROJECT)
        self.restored.check()
        for node in self.nodes:
            node.check_memory(is_idle=False)
        return seen

    async def restore(self, backup: Backup, seen: Seen) -> Job | None:
        """Ask for a restore, and expect the file that it has to leave."""
        job = await self.restored.request(self.operator.restores, backup, seen)
        self.note(f"restore {backup.id}: job {job and job.id}")
        return job

    async def unfinished(self) -> list[Job]:
        return await self.catalog._run(_unfinished)  # noqa: SLF001 - one query instead of one for each state

    async def start_node(self, name: str | None = None) -> None:
        node = Node(self.world, name or f"node-{len(self.nodes) + len(self.dead)}")
        self.note(f"{node.name} starts")
        self.nodes.append(node)
        await node.start(self.lives)

    async def _day(self, day: int, happen: Happen) -> None:
        morning_s = day * _DAY_S
        if morning_s > self.loop.time():
            self.loop.jump(morning_s - self.loop.time())
        self.faults[:] = draw_weather(self.random)
        for _ in range(self.random.choice(_STEPS_A_DAY)):
            await asyncio.sleep(self.random.choice(_PAUSES_S))
            self._do_what_is_due(self.loop.time())
            await happen(self)
            await self.seen()
        if self.random.random() < _CALM_EVENINGS:
            await self.calm_down()

    async def calm_down(self) -> None:
        """Let nothing go wrong any more, and wait for all work to end. Violation when it does not."""
        self.note("nothing goes wrong any more")
        self.faults.clear()
        for store in self.stores.values():
            store.is_full, store.is_down, store.lies_left, store.unlisted = False, False, 0, None
        for node in self.nodes:
            node.clock.skew_s = 0.0
        self._do_what_is_due(float("inf"))
        deadline_s = self.loop.time() + _QUIET_S_MAX
        while left := await self.unfinished():
            if self.loop.time() > deadline_s:
                raise Violation(f"work never ends: {left}")
            await asyncio.sleep(LEASE_S / 2)
            for node in self.nodes:
                node.wake()
        await self.seen()

    async def _last_evening(self) -> None:
        """Restore everything, and let every target get what it lacks."""
        await self.calm_down()
        seen = await self.seen()
        self.note(f"{len(seen.available)} backups of {len(seen.backups)} are available")
        hurt = {backup.id for backup in seen.available if self.damage_of(backup, seen)}
        asked = [(backup, await self.restore(backup, seen)) for backup in seen.available]
        await self.calm_down()
        for backup, job in asked:
            await self._check_outcome(backup, job, seen)
        if lagging := [copy for backup, copy in await self.catalog.lagging_copies() if not hurt]:
            await asyncio.sleep(_QUIET_S_MAX)
            await self.calm_down()
            if await self.catalog.lagging_copies():
                raise Violation(f"copies are never made: {lagging}")

    def damage_of(self, backup: Backup, seen: Seen) -> set[str]:
        """Return the keys of injected damage that any copy of a backup suffers from."""
        holders = seen.holders.get(backup.id, ())
        return {key for target in holders for key in self.model.damage_of(backup, target)}

    async def _check_outcome(self, backup: Backup, job: Job | None, seen: Seen) -> None:
        """Violation unless a restore on a calm day succeeded, or names what was damaged on purpose."""
        if job is None:
            return
        ended = await self.catalog.job(PROJECT, job.id)
        if ended.state is JobState.SUCCEEDED:
            if self.restored.is_awaited(job.id):
                raise Violation(f"restore {job.id} succeeded and left no file")
            return
        damage = self.damage_of(backup, seen)
        message = ended.failure.message if ended.failure else ""
        if not any(key.split("/", 2)[2] in message for key in damage):
            raise Violation(f"restore of backup {backup.id} {ended.state}: {message}; damaged is {sorted(damage)}")
        self.restored.give_up(job.id)

    async def _end(self) -> None:
        for node in self.nodes:
            await node.stop()
            node.check_memory(is_idle=True)
        for node in self.dead:
            await node.bury()

    def _do_what_is_due(self, now_s: float) -> None:
        due = [one for one in self.pending if one[0] <= now_s]
        self.pending = [one for one in self.pending if one[0] > now_s]
        for _, what, then in due:
            self.note(what)
            then()

    def _open_source(self, volume: Volume) -> Source:
        return self.guests[volume.id]

    def _operator(self, executor: ThreadPoolExecutor) -> Application:
        return build_application(
            catalog=self.catalog,
            clock=self.world.clock,
            config=self.world.config,
            sources=Sources({}),
            observed={name: Observe(store) for name, store in self.stores.items()},
            executor=executor,
            wake=self.wake,
            sign=lambda text: text,
        )


def _unfinished(connection: Connection) -> list[Job]:
    return [rows.job(row) for row in connection.execute(_UNFINISHED_JOBS)]


Happen = Callable[[Run], Awaitable[None]]
"""Let one thing happen."""


@lru_cache(1)
def _engine_of(url: str) -> Engine:
    """Return the engine that all nodes share, and all runs in a directory, with the statements it has compiled.

    No two transactions are ever under way at a time: a simulated thread does all its work at once.
    """
    return engine_of(url)


def _configuration(directory: Path) -> Config:
    return Config(
        daemon=DaemonConfig(),
        paths=PathsConfig(sources=(directory / "sources",), restores=(directory / "restores",)),
        targets={
            name: TargetConfig(name=name, url=f"memory:{name}", collect_interval_s=_COLLECT_INTERVAL_S)
            for name in TARGETS
        },
        retention={"few": RetentionConfig(keep_last=3), "days": RetentionConfig(keep_last=1, keep_daily=5)},
    )
