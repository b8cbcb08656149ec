"""The application services over a real catalog and real files, without a job worker: tests play its part."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from backupd.application import Application, build_application
from backupd.application.backup_types import NewBackupType
from backupd.application.backups import NewBackup
from backupd.application.volumes import NewVolume
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.config import Config, DaemonConfig, PathsConfig, RetentionConfig, TargetConfig
from backupd.model import Backup, BackupResult, Failure, Job, JobState, Progress, Statistics
from chunker.sources.open import Sources
from targets.memory import MemoryTarget
from targets.wrappers.observe import Observe
from tests.support.virtual_clock import VirtualClock

PROJECT = "default"
VOLUME_BYTES = 4096


@dataclass(slots=True)
class Worker:
    """How often the worker was woken, and how far its jobs are."""

    wakes: int = 0
    progress: dict[str, Progress] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        self.wakes += 1
        self.woken.set()

    async def woken_more_than(self, times: int) -> None:
        """Return when the worker has been woken more often than that."""
        while self.wakes <= times:
            self.woken.clear()
            await self.woken.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One application; the test is the worker that it wakes and asks for progress."""

    application: Application
    catalog: Catalog
    clock: VirtualClock
    executor: ThreadPoolExecutor
    sources: Path
    restores: Path
    worker: Worker

    def without_target(self, name: str) -> Application:
        """Return the application as it is after the operator has taken a target out of the configuration."""
        config = make_config(self.sources, self.restores)
        return self.configured(targets={key: value for key, value in config.targets.items() if key != name})

    def configured(self, **sections: Any) -> Application:
        """Return the application as it is with other sections of the configuration."""
        config = replace(make_config(self.sources, self.restores), **sections)
        return _build(config, self.catalog, self.clock, self.executor, self.worker)

    async def add_volume(self, name: str = "disk", *, backup_type: str = "standard") -> None:
        """Register a volume of a few bytes, and its type when it is not there yet."""
        if backup_type not in [one.name for one in await self.application.backup_types.all()]:
            await self.application.backup_types.add(NewBackupType(name=backup_type, target="local"))
        path = self.sources / f"{name}.img"
        path.write_bytes(bytes(VOLUME_BYTES))
        await self.application.volumes.add(PROJECT, NewVolume(name=name, path=str(path), backup_type=backup_type))

    async def add_backup(self, volume: str = "disk") -> Backup:
        """Make a backup that is available."""
        self.clock.advance(60)
        backup, _ = await self.application.backups.create(PROJECT, NewBackup(volume=volume))
        await self.finish_job()
        return await self.catalog.backup(PROJECT, backup.id)

    async def claim_job(self) -> Job:
        """Take the oldest job, as a worker does."""
        job = await self.catalog.claim_job("worker", 60.0)
        assert job is not None
        return job

    async def finish_job(self) -> None:
        """Do the oldest job, which is a backup."""
        job = await self.claim_job()
        result = BackupResult(VOLUME_BYTES, None, None, Statistics(read_bytes=VOLUME_BYTES))
        await self.catalog.publish_backup(job.of_backup, job_id=job.id, fence=job.fence, result=result)
        await self.end_job(job, JobState.SUCCEEDED)

    async def end_job(self, job: Job, state: JobState, failure: Failure | None = None) -> None:
        """End a job that was claimed."""
        progress = Progress(VOLUME_BYTES, VOLUME_BYTES)
        await self.catalog.finish_job(job.id, job.fence, state, failure, progress)


@asynccontextmanager
async def open_world(directory: Path) -> AsyncIterator[World]:
    """Open a world in ``directory``; everything ends with it."""
    sources, restores = directory / "sources", directory / "restores"
    sources.mkdir()
    restores.mkdir()
    clock = VirtualClock()
    worker = Worker()
    catalog = await Catalog.open(f"sqlite:///{directory}/catalog.sqlite", clock)
    executor = ThreadPoolExecutor(2, thread_name_prefix="world")
    try:
        config = make_config(sources, restores)
        application = _build(config, catalog, clock, executor, worker)
        yield World(
            application=application,
            catalog=catalog,
            clock=clock,
            executor=executor,
            sources=sources,
            restores=restores,
            worker=worker,
        )
    finally:
        executor.shutdown()
        await catalog.aclose()


def _build(config: Config, catalog: Catalog, clock: Clock, executor: Executor, worker: Worker) -> Application:
    return build_application(
        catalog=catalog,
        clock=clock,
        config=config,
        sources=Sources({}),
        observed={name: Observe(MemoryTarget()) for name in config.targets},
        executor=executor,
        wake=worker.wake,
        sign=lambda text: hashlib.sha256(b"key" + text).digest(),
        live_progress=worker.progress.get,
    )


def make_config(sources: Path, restores: Path) -> Config:
    """Return a configuration with two targets and a retention."""
    targets = {
        "local": TargetConfig(name="local", url="file:///srv/backups"),
        "other": TargetConfig(name="other", url="s3://key@host/bucket?region=x"),
    }
    paths = PathsConfig(sources=(sources,), restores=(restores,))
    retention = {"short": RetentionConfig(keep_last=2)}
    return Config(
        daemon=DaemonConfig(),
        paths=paths,
        targets=MappingProxyType(targets),
        retention=MappingProxyType(retention),
    )
