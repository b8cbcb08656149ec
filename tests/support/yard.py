"""A repository that is backed up to, deleted from and collected: the real bodies of jobs, stepped by hand."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, and_, delete, update

from backupd.catalog.collections import Collections
from backupd.catalog.store import Catalog
from backupd.catalog.tables import backup_copies, backups
from backupd.clock import Clock
from backupd.collection import CollectionReport
from backupd.config import AuditConfig
from backupd.jobs.backup import BackupBody
from backupd.jobs.collect import CollectBody
from backupd.jobs.copy import CopyBody
from backupd.jobs.delete import DeleteBody
from backupd.jobs.enlisting import Enlisting
from backupd.jobs.replicate import ReplicateBody
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.jobs.worker import JobBody
from backupd.model import Backup, BackupMode, BackupState, Job, JobKind, JobState, Progress, RepositoryName, Volume
from backupd.pipeline.workers import Workers
from backupd.repository import condemned, layout
from backupd.repository.condemned import Condemnation
from backupd.repository.keyring import Keyring
from backupd.repository.opened import Repositories
from backupd.repository.repository import Repository
from chunker.sources.base import Source
from chunker.sources.memory import MemoryVolume
from targets.base import LocksObjects, ObjectInfo, SweepsOrphans, Target
from targets.memory import MemoryTarget
from targets.wrappers.observe import Observe
from tests.support.builders import LEASE_S, PROJECT, START, make_backup, make_backup_type, make_job, make_volume
from tests.support.catalogs import open_catalog
from tests.support.repositories import restore, verify
from tests.support.virtual_clock import VirtualClock

CHUNK_BYTES = 64 * 1024
_JOB_MEMORY_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class Disk:
    """A volume, and what it held at each backup."""

    row: Volume
    memory: MemoryVolume
    content: dict[str, bytes] = field(default_factory=dict)

    def now(self) -> bytes:
        point = self.memory.open()
        content = bytearray(point.size_bytes)
        point.read_into(0, memoryview(content))
        return bytes(content)


@dataclass(slots=True)
class Yard:
    """One daemon's jobs without its worker. ``target`` is what is stored, ``observed`` what was asked of it."""

    root: Path
    catalog: Catalog
    resources: Resources
    bodies: Mapping[JobKind, JobBody]
    stores: Mapping[str, Target]
    observed: Mapping[str, Observe]
    disks: dict[str, Disk]

    @property
    def name(self) -> RepositoryName:
        return RepositoryName(PROJECT, "local", is_encrypted=True)

    def name_on(self, target: str) -> RepositoryName:
        return RepositoryName(PROJECT, target, is_encrypted=True)

    async def add_disk(self, chunks: int, *, seed: int | None = None) -> Disk:
        backup_type = make_backup_type()
        await self.catalog.add_backup_type(backup_type)
        row = make_volume(backup_type)
        await self.catalog.add_volume(row)
        memory = MemoryVolume(chunks * CHUNK_BYTES, seed=seed, identity=row.id)
        self.disks[row.id] = Disk(row, memory)
        return self.disks[row.id]

    async def request_backup(self, disk: Disk, parent: Backup | None = None, **fields: Any) -> Job:
        """Queue a backup of what is on the disk when the job runs."""
        backup = make_backup(
            disk.row,
            chunk_size_bytes=CHUNK_BYTES,
            mode=BackupMode.INCREMENTAL if parent else BackupMode.FULL,
            parent_id=parent.id if parent else None,
            **fields,
        )
        job = make_job(backup, JobKind.BACKUP, request={"changed_extents": None})
        await self.catalog.create_backup(backup, job)
        return job

    async def back_up(self, disk: Disk, parent: Backup | None = None, **fields: Any) -> Backup:
        """Make a backup that is available."""
        job = await self.request_backup(disk, parent, **fields)
        backup_id = job.of_backup
        disk.content[backup_id] = disk.now()
        await self.do()
        return await self.catalog.backup(PROJECT, backup_id)

    async def request_delete(self, backup: Backup) -> Job:
        job = make_job(backup, JobKind.DELETE)
        await self.catalog.begin_delete(backup.id, job)
        return job

    async def delete(self, backup: Backup) -> None:
        await self.request_delete(backup)
        await self.do()
        self.disks[backup.volume_id].content.pop(backup.id)

    async def copy(self, backup: Backup, target: str) -> None:
        await self.catalog.add_job(make_job(backup, JobKind.COPY, request={"target": target}))
        await self.do()

    async def request_replication(self, source: str, target: str) -> Job:
        job = _job(JobKind.REPLICATE, {"source": source, "target": target, "is_encrypted": True})
        await self.catalog.add_job(job)
        return job

    async def replicate(self, source: str, target: str) -> None:
        await self.request_replication(source, target)
        await self.do(kind=JobKind.REPLICATE)

    async def request_collection(
        self, *, target: str = "local", dry_run: bool = False, sweep_only: bool = False, forget: str | None = None
    ) -> Job:
        request = {"target": target, "is_dry_run": dry_run, "is_sweep_only": sweep_only, "forget_writer": forget}
        job = _job(JobKind.COLLECT, request)
        assert await self.catalog.collections.add_job(job) is None
        return job

    async def collect(self, **options: Any) -> CollectionReport:
        """Collect, and return what came of it."""
        job = await self.request_collection(**options)
        await self.do(kind=JobKind.COLLECT)
        report = await self.catalog.collections.report(job.id)
        assert report is not None
        return report

    async def claim(self, kind: JobKind | None = None) -> Job:
        job = await self.catalog.claim_job("worker", LEASE_S, kinds=None if kind is None else [kind])
        assert job is not None
        return job

    async def claim_of(self, expected: Job) -> Job:
        job = await self.claim()
        assert job.id == expected.id
        return job

    async def do(self, job: Job | None = None, *, kind: JobKind | None = None) -> None:
        """Do the oldest job, or one that is claimed already; it must succeed."""
        job = job or await self.claim(kind)
        await self.bodies[job.kind](job, JobRun(self.catalog, job, LEASE_S))
        await self.end(job, JobState.SUCCEEDED)

    def run_of(self, job: Job) -> JobRun:
        return JobRun(self.catalog, job, LEASE_S)

    async def do_without_asking(self, job: Job) -> None:
        """Do a backup that asked what is condemned before anything was."""
        catalog = BlindCatalog(self.catalog)
        await BackupBody(replace(self.resources, catalog=catalog))(job, self.run_of(job))
        await self.end(job, JobState.SUCCEEDED)

    async def store_and_fail(self, job: Job) -> None:
        """Let a backup store all that it is, and come to nothing."""
        await self.bodies[job.kind](job, self.run_of(job))
        target = (await self.repository()).target
        await target.delete(layout.manifest(job.of_backup))

        def unpublish(connection: Connection) -> None:
            mine = backups.c.id == job.of_backup
            connection.execute(delete(backup_copies).where(backup_copies.c.backup_id == job.of_backup))
            connection.execute(update(backups).where(mine).values(state=BackupState.CREATING))

        await self.catalog._run(unpublish)
        await self.end(job, JobState.FAILED)

    async def forget_copy(self, backup: Backup, target: str) -> None:
        """Let the catalog know nothing of what a target has of a backup."""

        def forget(connection: Connection) -> None:
            mine = and_(backup_copies.c.backup_id == backup.id, backup_copies.c.target == target)
            connection.execute(delete(backup_copies).where(mine))

        await self.catalog._run(forget)

    async def announce(self) -> None:
        """Store what is condemned, as a sweep does."""
        catalog_id = await self.catalog.collections.catalog_id()
        ids = [one.pack_id async for page in self.catalog.collections.condemned(self.name) for one in page]
        body = condemned.encode(Condemnation(catalog_id, 1, ids))
        await (await self.repository()).target.put(layout.condemned(catalog_id, 0), body)

    async def learn_all_packs(self) -> None:
        """Fill the chunk index from the footers of all packs, as one that was rebuilt may be."""
        repository = await self.repository()
        index = await self.resources.repositories.index(repository, ["local"])
        for key in await self.keys():
            pack_id = layout.pack_id(key)
            assert pack_id is not None
            index.add(pack_id, await repository.footer(pack_id))

    async def end(self, job: Job, state: JobState) -> None:
        await self.catalog.finish_job(job.id, job.fence, state, None, Progress())

    async def repository(self, target: str = "local") -> Repository:
        repositories = self.resources.repositories
        found = await repositories.existing(RepositoryName(PROJECT, target, is_encrypted=True))
        assert found is not None
        return found

    async def keys(self, prefix: str = layout.PACKS, target: str = "local") -> set[str]:
        """Return the keys of what is stored in the repository."""
        repository = await self.repository(target)
        return {info.key async for info in repository.target.list(prefix)}

    async def stored_bytes(self) -> int:
        repository = await self.repository()
        return sum([info.size_bytes async for info in repository.target.list(layout.PACKS)])

    async def check(self, target: str = "local") -> None:
        """Every backup that was made and not deleted restores bit for bit, and verifies."""
        for disk in self.disks.values():
            for backup_id, content in disk.content.items():
                assert await self.restored(backup_id, target) == content

    async def restored(self, backup_id: str, target: str = "local") -> bytes:
        repository = await self.repository(target)
        manifest = await repository.manifest(backup_id)
        assert manifest is not None
        await verify(repository, manifest, self.resources.workers)
        path = self.root / str(uuid.uuid4())
        await restore(repository, manifest, self.resources.workers, path)
        content = path.read_bytes()
        path.unlink()
        return content


class BlindCatalog(Catalog):
    """A catalog in which nothing was condemned yet when somebody asked."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__(catalog._engine, catalog._clock)
        self._thread.shutdown()
        self._thread = catalog._thread
        self.collections = _Unaware(self._run)


class _Unaware(Collections):
    async def has_condemned(self, names: Collection[RepositoryName]) -> bool:
        return False


def _job(kind: JobKind, request: dict[str, Any]) -> Job:
    return Job(str(uuid.uuid4()), PROJECT, kind, None, JobState.QUEUED, START, request)


@asynccontextmanager
async def yard(
    root: Path,
    *,
    stores: Mapping[str, Target] | None = None,
    live_share_min: float = 0.5,
    name: str = "daemon",
    clock: Clock | None = None,
    wrap: Callable[[Target], Target] = lambda target: target,
    drivers: Mapping[str, SweepsOrphans] = MappingProxyType({}),
    lockers: Mapping[str, LocksObjects] = MappingProxyType({}),
) -> AsyncIterator[Yard]:
    """Open a daemon's part of a yard in ``root``; several of them may share ``stores``, each with its catalog."""
    stores = stores or {"local": MemoryTarget(), "other": MemoryTarget()}
    observed = {one: Observe(wrap(store)) for one, store in stores.items()}
    place = root / name
    place.mkdir(exist_ok=True)
    disks: dict[str, Disk] = {}

    def open_source(volume: Volume) -> Source:
        return disks[volume.id].memory

    clock = clock or VirtualClock()
    async with open_catalog(place / "catalog.sqlite", clock) as catalog:
        keyring = Keyring([bytes(range(32))], origin="test")
        repositories = Repositories(observed, keyring, clock, place / "indexes", None, Enlisting(catalog, name))
        workers = Workers(2)
        resources = Resources(
            catalog=catalog,
            clock=clock,
            repositories=repositories,
            workers=workers,
            open_source=open_source,
            check_destination=lambda _path, _overwrite: None,
            check_overwritable=lambda _path: None,
            job_memory_bytes=_JOB_MEMORY_BYTES,
            audit=AuditConfig(),
        )
        bodies: dict[JobKind, JobBody] = {
            JobKind.BACKUP: BackupBody(resources),
            JobKind.DELETE: DeleteBody(resources),
            JobKind.COPY: CopyBody(resources),
            JobKind.REPLICATE: ReplicateBody(resources),
            JobKind.COLLECT: CollectBody(resources, place / "collections", lambda _: live_share_min, drivers, lockers),
        }
        try:
            yield Yard(place, catalog, resources, bodies, stores, observed, disks)
        finally:
            workers.close()
            repositories.close()


class Ghosts:
    """A target whose listings still show packs that were deleted."""

    def __init__(self, inner: Target) -> None:
        self._inner = inner
        self._seen: dict[str, ObjectInfo] = {}
        self.capabilities = inner.capabilities

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        found = {info.key: info async for info in self._inner.list(prefix)}
        self._seen |= {key: info for key, info in found.items() if layout.PACKS in key}
        for key, info in {**self._seen, **found}.items():
            if key.startswith(prefix):
                yield info


class Forgetful(Ghosts):
    """One whose listings miss what is ``missed``, all forwards, while it ``is_stale``; it need not show ghosts."""

    is_stale = False
    shows_ghosts = False
    missed = layout.FORWARDS

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        listed = super().list(prefix) if self.shows_ghosts else self._inner.list(prefix)
        async for info in listed:
            if not (self.is_stale and self.missed in info.key):
                yield info
