"""The composition root: the only module that builds everything, and takes it down again."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from aiohttp import web

import backupd
from backupd.api import Identity, NoIdentity, build_app, keystone, read_tokens
from backupd.application import build_application
from backupd.application.configured import apply_configuration
from backupd.application.paths import check_address, check_destination, check_overwritable
from backupd.catalog.store import Catalog
from backupd.clock import Clock, SystemClock
from backupd.config import Config, TargetConfig
from backupd.configured_targets import OpenTarget, limited, open_again, open_targets
from backupd.errors import ConfigError
from backupd.jobs.backup import BackupBody
from backupd.jobs.catching_up import CatchingUp
from backupd.jobs.clone import CloneBody
from backupd.jobs.collect import CollectBody
from backupd.jobs.collecting import Collecting
from backupd.jobs.copy import CopyBody
from backupd.jobs.delete import DeleteBody
from backupd.jobs.deleting import Deleting
from backupd.jobs.enlisting import Enlisting
from backupd.jobs.fitness import Fitness, ProbedTarget
from backupd.jobs.forgetting import forgetting
from backupd.jobs.import_record import ImportBody
from backupd.jobs.probe import ProbeBody
from backupd.jobs.repair import RepairBody
from backupd.jobs.replicate import ReplicateBody
from backupd.jobs.resources import Resources
from backupd.jobs.restore import RestoreBody
from backupd.jobs.run import JobRun
from backupd.jobs.scrub import ScrubBody
from backupd.jobs.scrubbing import Scrubbing
from backupd.jobs.verify import VerifyBody
from backupd.jobs.worker import JobBody, Worker
from backupd.loop_lag import LoopLag
from backupd.metrics import CONTENT_TYPE, Metrics
from backupd.model import Job, JobKind, Volume
from backupd.pipeline.workers import Workers
from backupd.repository.keyring import Keyring
from backupd.repository.opened import Repositories
from backupd.state_dir import StateDir, locked
from chunker.errors import SourceMisconfigured
from chunker.sources.base import PointInTime, Source
from chunker.sources.open import Sources
from targets.base import LocksObjects, SweepsOrphans, Target
from targets.probe import ServerClock

_LEASE_S = 30.0
_APPLICATION_THREADS = 2  # One may hang on a path of a dead device while the other parses requests.
_PUBLISHED_MAX = 100  # Backups whose volumes retention has not looked at yet; then publishing waits.
_SPARE_THREADS = 1  # One more than compute: somebody nearly always waits, in a restore for the disk.
_log = logging.getLogger(__name__)


async def serve(config: Config) -> None:
    """Run the daemon until SIGTERM or SIGINT, then stop gracefully. ConfigError when it cannot start."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(config) as address:
        _log.info("listening on %s", address)
        await stop.wait()
        _log.info("stopping: running jobs have %g s", config.daemon.shutdown_timeout_s)


@asynccontextmanager
async def running(config: Config, clock: Clock | None = None) -> AsyncIterator[str]:
    """Run a daemon for as long as the context lasts; the value is the address that it listens on."""
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        state = stack.enter_context(locked(config.daemon.state_dir))
        identity = await _identity(config, clock, stack)
        keyring = state.open_keyring()
        catalog = await Catalog.open(state.catalog_url(), clock)
        stack.push_async_callback(catalog.aclose)
        await apply_configuration(config, catalog, clock)
        sources = _sources(config)
        opened = await open_targets(config, clock, stack)
        observed = {name: one.observed for name, one in opened.items()}
        fitness = Fitness(catalog=catalog, clock=clock, targets=_probed(config, opened, clock))
        enlisting = Enlisting(catalog, _node(state))
        repositories = _repositories(opened, keyring, clock, state, fitness, enlisting)
        stack.callback(repositories.close)
        workers = Workers(config.daemon.workers or os.cpu_count() or 1, spare_count=_SPARE_THREADS)
        stack.callback(workers.close)
        executor = stack.enter_context(ThreadPoolExecutor(_APPLICATION_THREADS, thread_name_prefix="application"))
        published: asyncio.Queue[Job] = asyncio.Queue(_PUBLISHED_MAX)
        bare = {name: one.bare for name, one in opened.items()}
        resources = _resources(config, clock, catalog, sources, repositories, workers)
        lag = LoopLag(clock)
        metrics = Metrics(lag)
        announce = partial(_announce, catalog, metrics, published)
        worker = _worker(config, state, resources, fitness, announce, bare)
        application = build_application(
            catalog=catalog,
            clock=clock,
            config=config,
            sources=sources,
            observed=observed,
            executor=executor,
            wake=worker.wake,
            sign=keyring.sign,
            live_progress=worker.live_progress,
        )
        await application.block_storage.finish_deletions()
        app = build_app(
            application,
            health=lambda: _health(lag),
            clock=clock,
            executor=executor,
            identity=identity,
            metrics=partial(_measured, catalog, metrics),
        )
        # Bound before any task runs: what is raised within a group of tasks comes out as a group of errors.
        api = await stack.enter_async_context(AsyncExitStack())
        address = await api.enter_async_context(_listening(app, config))
        looks = [lag.run(), application.retention.run(published)]
        looks += [look.run() for look in _looking(config, catalog, clock, observed, worker)]
        async with _at_work(worker, looks), api:  # Requests end first: the worker is there for what they started.
            yield address


@asynccontextmanager
async def _at_work(worker: Worker, looks: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Let the worker take jobs, and run what looks from time to time beside it; the worker ends what it has begun."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run(), name="worker")
        looking = [tasks.create_task(look) for look in looks]
        try:
            yield
        finally:
            await worker.stop()
            for task in looking:
                task.cancel()


def _looking(
    config: Config, catalog: Catalog, clock: Clock, observed: Mapping[str, Target], worker: Worker
) -> tuple[CatchingUp | Scrubbing | Collecting | Deleting, ...]:
    """Return what looks from time to time whether there is something to do."""
    return (
        CatchingUp(catalog, clock, observed, wake=worker.wake, interval_s=config.daemon.copies_interval_s),
        Scrubbing(catalog, clock, config.targets, wake=worker.wake),
        Collecting(catalog, clock, _intervals(config), wake=worker.wake),
        Deleting(catalog, clock, wake=worker.wake),
    )


def _resources(
    config: Config, clock: Clock, catalog: Catalog, sources: Sources, repositories: Repositories, workers: Workers
) -> Resources:
    daemon = config.daemon
    return Resources(
        catalog=catalog,
        clock=clock,
        repositories=repositories,
        workers=workers,
        open_source=partial(_open_source, config, sources),
        check_destination=partial(_check_destination, config),
        check_overwritable=partial(_check_overwritable, config),
        job_memory_bytes=daemon.memory_limit_bytes // daemon.running_jobs_max,
        audit=config.audit,
        open_group=partial(_open_group, config, sources),
    )


def _worker(
    config: Config,
    state: StateDir,
    resources: Resources,
    fitness: Fitness,
    announce: Callable[[Job], Awaitable[None]],
    bare: Mapping[str, Target],
) -> Worker:
    daemon = config.daemon
    bodies: dict[JobKind, JobBody] = {
        JobKind.BACKUP: _announced(BackupBody(resources), announce),
        JobKind.RESTORE: RestoreBody(resources),
        JobKind.VERIFY: VerifyBody(resources),
        JobKind.DELETE: DeleteBody(resources),
        JobKind.COPY: CopyBody(resources),
        JobKind.REPLICATE: ReplicateBody(resources),
        JobKind.PROBE: ProbeBody(fitness),
        JobKind.CLONE: CloneBody(resources),
        JobKind.IMPORT: ImportBody(resources),
        JobKind.SCRUB: ScrubBody(resources),
        JobKind.REPAIR: RepairBody(resources),
        JobKind.COLLECT: CollectBody(
            resources,
            state.collections,
            lambda target: config.targets[target].collect_live_share_min,
            drivers={name: one for name, one in bare.items() if isinstance(one, SweepsOrphans)},
            lockers={name: one for name, one in bare.items() if isinstance(one, LocksObjects)},
        ),
    }
    # The state directory is locked, so whatever this owner still holds is what it held when it died.
    return Worker(
        resources.catalog,
        resources.clock,
        _node(state),
        {kind: forgetting(body, resources.repositories, resources.catalog) for kind, body in bodies.items()},
        running_jobs_max=daemon.running_jobs_max,
        lease_s=_LEASE_S,
        shutdown_timeout_s=daemon.shutdown_timeout_s,
    )


def _node(state: StateDir) -> str:
    return f"{socket.gethostname()}:{state.path}"


def _intervals(config: Config) -> dict[str, float]:
    return {name: target.collect_interval_s for name, target in config.targets.items()}


def _announced(body: JobBody, announce: Callable[[Job], Awaitable[None]]) -> JobBody:
    async def run_and_announce(job: Job, run: JobRun) -> None:
        await body(job, run)
        await announce(job)

    return run_and_announce


async def _announce(catalog: Catalog, metrics: Metrics, published: asyncio.Queue[Job], job: Job) -> None:
    for backup in await catalog.backups_of(job):
        metrics.count(backup)
    await published.put(job)


async def _measured(catalog: Catalog, metrics: Metrics) -> tuple[str, bytes]:
    return CONTENT_TYPE, metrics.text(await catalog.job_counts())


def _repositories(
    opened: Mapping[str, OpenTarget],
    keyring: Keyring,
    clock: Clock,
    state: StateDir,
    fitness: Fitness,
    enlisting: Enlisting,
) -> Repositories:
    targets = {name: one.limited for name, one in opened.items()}
    return Repositories(targets, keyring, clock, state.indexes, fitness.require, enlisting)


async def _identity(config: Config, clock: Clock, stack: AsyncExitStack) -> Identity:
    strategy, token_file = config.auth.strategy, config.daemon.token_file
    if strategy == "keystone":
        return await stack.enter_async_context(keystone(config.auth, clock))
    if token_file is not None and strategy in ("", "tokens"):
        return read_tokens(token_file)
    return NoIdentity(must_say_who=strategy == "noauth")


def _sources(config: Config) -> Sources:
    try:
        return Sources(config.sources)
    except SourceMisconfigured as error:
        raise ConfigError(f"sources.{error}") from error


def _open_group(config: Config, sources: Sources, volumes: Sequence[Volume]) -> Sequence[PointInTime]:
    for volume in volumes:
        _check_source(config, sources, volume)
    return sources.open_group([volume.source for volume in volumes])


def _check_source(config: Config, sources: Sources, volume: Volume) -> None:
    # Once more, because what the path leads to may have changed since it was registered.
    check_address(volume.source, sources, allowed=(*config.paths.sources, *config.made_paths))


def _open_source(config: Config, sources: Sources, volume: Volume) -> Source:
    _check_source(config, sources, volume)
    return sources.open(volume.source, allow_live=volume.allow_live, direct_io=volume.direct_io)


def _check_destination(config: Config, path: str, overwrite: bool) -> None:  # noqa: FBT001 - a callback
    check_destination(path, overwrite=overwrite, allowed=config.paths.restores)


def _check_overwritable(config: Config, path: str) -> None:
    check_overwritable(path, allowed=(*config.paths.restores, *config.made_paths))


def _probed(config: Config, opened: Mapping[str, OpenTarget], clock: Clock) -> dict[str, ProbedTarget]:
    return {
        name: ProbedTarget(
            url=config.targets[name].url,
            target=one.limited,
            open_again=partial(_open_other, config.targets[name], clock),
            writer=one.writer,
            server_clock=one.bare if isinstance(one.bare, ServerClock) else None,
        )
        for name, one in opened.items()
    }


async def _open_other(config: TargetConfig, clock: Clock) -> Target:
    return limited(await open_again(config), config, clock)


@asynccontextmanager
async def _listening(app: web.Application, config: Config) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        listen = config.daemon.listen
        try:
            await web.TCPSite(runner, listen.host, listen.port).start()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(
                f"daemon.listen = '{listen}': {reason}; expected a free address of this machine"
            ) from error
        host, port = runner.addresses[0][:2]
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        await runner.cleanup()


def _health(lag: LoopLag) -> dict[str, Any]:
    return {
        "status": "ok",
        "version": backupd.__version__,
        "loop_lag_s": lag.percentiles(),
        "memory_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
