"""Backups of one volume in memory, one after the other, by the body of the backup job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from backupd.catalog.store import Catalog
from backupd.config import AuditConfig
from backupd.jobs.backup import BackupBody
from backupd.jobs.resources import Resources
from backupd.jobs.restore import RestoreBody
from backupd.jobs.run import JobRun
from backupd.model import Backup, BackupMode, JobKind, JobState, Volume
from chunker.sources.base import Source
from targets.memory import MemoryTarget
from tests.support.builders import (
    LEASE_S,
    PROJECT,
    add_creating,
    add_volume,
    claim,
    finish,
    make_job,
)
from tests.support.catalogs import open_catalog
from tests.support.jobs import job_resources
from tests.support.virtual_clock import VirtualClock

CHUNK_BYTES = 64 * 1024


@dataclass(slots=True)
class Nightly:
    """``latest`` is the parent of the next increment."""

    catalog: Catalog
    clock: VirtualClock
    resources: Resources
    volume: Volume
    directory: Path
    latest: Backup | None = None

    async def back_up(self) -> Backup:
        """Take a backup, a full one first and then increments; return it as it was published."""
        self.clock.advance(3600)
        parent = self.latest
        mode = BackupMode.INCREMENTAL if parent else BackupMode.FULL
        new = await add_creating(
            self.catalog,
            self.volume,
            mode=mode,
            parent_id=parent.id if parent else None,
            chunk_size_bytes=CHUNK_BYTES,
            compression_level=1,
            created_at=self.clock.now(),
        )
        job = await claim(self.catalog, new)
        await BackupBody(self.resources)(job, JobRun(self.catalog, job, LEASE_S))
        await finish(self.catalog, job, JobState.SUCCEEDED)
        self.latest = await self.one(new.of_backup)
        return self.latest

    async def one(self, backup_id: str) -> Backup:
        """Return a backup as the catalog has it now."""
        return await self.catalog.backup(PROJECT, backup_id)

    async def restored(self, backup: Backup) -> bytes:
        """Return the bytes of a backup."""
        path = self.directory / str(uuid4())
        await self.catalog.add_job(
            make_job(backup, JobKind.RESTORE, id=str(uuid4()), request={"path": str(path), "overwrite": False})
        )
        job = await claim(self.catalog)
        await RestoreBody(self.resources)(job, JobRun(self.catalog, job, LEASE_S))
        await finish(self.catalog, job, JobState.SUCCEEDED)
        return path.read_bytes()


@asynccontextmanager
async def nightly(directory: Path, source: Source, audit: AuditConfig) -> AsyncIterator[Nightly]:
    """Open a catalog and a target for the backups of ``source``."""
    clock = VirtualClock()
    directory.mkdir(exist_ok=True)
    async with open_catalog(directory / "catalog.sqlite", clock) as catalog:
        volume = await add_volume(catalog)
        async with job_resources(
            directory / "indexes", catalog, clock, target=MemoryTarget(), source=source, audit=audit
        ) as resources:
            yield Nightly(catalog, clock, resources, volume, directory)
