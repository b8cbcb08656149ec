"""One attempt to take one backup: from a point in time to a published manifest."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from functools import partial
from random import Random

from backupd.errors import Conflict, CorruptObject
from backupd.jobs.auditing import Audited, Auditing, with_audit
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import Audit, Backup, BackupMode, Job, RepositoryName, Statistics, Volume
from backupd.pipeline import changes
from backupd.pipeline.backup import BackupOptions, BackupPipeline
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.changes import Reading
from backupd.pipeline.pack_ids import PackIds
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.read_back import read_back
from backupd.pipeline.stored import FindCondemned, StoredChunks
from backupd.pipeline.workers import settle
from backupd.repository import layout
from backupd.repository.index import ChunkIndex
from backupd.repository.manifest import Manifest
from backupd.repository.opened import Opened
from chunker.errors import SourceError
from chunker.extents import Extent
from chunker.node import Pointer
from chunker.sources.address import Address
from chunker.sources.base import PointInTime, Source
from chunker.sources.extents import GivenExtents
from targets.base import Target
from targets.errors import TargetError
from targets.wrappers.limit import Limit
from targets.wrappers.observe import Observe

_OPERATIONS_MAX = 1024  # The target's own limit is the narrower one.
_log = logging.getLogger(__name__)


class Attempt:
    """One attempt to take one backup; a job that makes several has one for each."""

    def __init__(
        self,
        resources: Resources,
        job: Job,
        run: JobRun,
        backup: Backup,
        opened: Opened,
    ) -> None:
        self._resources = resources
        self._catalog = resources.catalog
        self._job = job
        self._run = run
        self.backup = backup
        self.opened = opened
        self._observed = Observe(opened.repository.target, name="+".join(backup.targets))
        self._repository = opened.repository.through(self._limited(self._observed))
        self._stored: list[bytes] = []
        self._audit: Audited | None = None
        self._volume: Volume
        self._index: ChunkIndex | None = None
        self._started_s = resources.clock.monotonic()

    def _limited(self, target: Target) -> Target:
        """Return the target under the limit of the backup's type, if that has one."""
        if not self.backup.bytes_per_s:
            return target
        clock = self._resources.clock
        return Limit(
            target,
            operations_max=_OPERATIONS_MAX,
            bytes_per_s=self.backup.bytes_per_s,
            monotonic=clock.monotonic,
            sleep=clock.sleep,
        )

    async def prepare(self) -> Volume:
        """Do all that can be done before the volume is frozen, and return it."""
        volume = await self._catalog.volume(self._job.project, self.backup.volume_id)
        if (snapshot_id := self._job.request.get("snapshot_id")) is not None:
            snapshot = await self._catalog.block_storage.snapshot(self._job.project, snapshot_id)
            volume = replace(volume, source=str(Address.of_path(snapshot.path)))
        self._volume = volume
        self._index = await self._open_index()
        return volume

    async def store(self, point: PointInTime) -> Manifest:
        """Read the volume and store what is new; return what is to be published."""
        workers = self._resources.workers
        if warning := getattr(point, "warning", None):  # Only few kinds of points have anything to say.
            _log.warning("backup %s: %s", self.backup.id, warning)
        await workers.run(point.check)
        manifest = await self._store(point, await self._audited(point))
        await workers.run(point.check)
        return manifest

    @asynccontextmanager
    async def held(self, point: PointInTime) -> AsyncIterator[None]:
        """End a point as the context does: tracking goes on from it, or from where it was."""
        try:
            yield
        except BaseException:
            await self._let_go(point.rollback)
            raise
        else:
            await self._commit(point)
        finally:
            await self._let_go(point.close)

    @property
    def audit(self) -> Audit | None:
        """What was audited, for whoever publishes."""
        return self._audit.audit if self._audit else None

    async def _let_go(self, end: Callable[[], None]) -> None:
        """Do what ends a point, without waiting for ever when each thread hangs in a device that does not answer."""
        ending = self._resources.workers.submit(end)
        await settle([ending])
        if ending.done() and not ending.cancelled() and (error := ending.exception()) is not None:
            raise error

    def source(self) -> Source:
        """Return how the volume is read, and what is known of its changes. Blocks."""
        source = self._resources.open_source(self._volume)
        given = self._job.request.get("changed_extents")
        if given is None:
            return source
        return GivenExtents(source, tuple(Extent(offset, length) for offset, length in given))

    async def _open_index(self) -> ChunkIndex | None:
        """Open the chunk index and put into it what earlier attempts of this job had stored."""
        if not self.backup.is_deduplicated:
            return None
        index = await self._resources.repositories.index(self._repository, self.opened.targets)
        for pack_id in await self._catalog.packs(self._job.id):
            name = bytes.fromhex(pack_id)
            try:
                if await self._repository.has_pack(name):
                    await self._resources.workers.run(index.add, name, await self._repository.footer(name))
            except CorruptObject as error:
                _log.warning("job %s: a pack of an earlier attempt cannot be used: %s", self._job.id, error)
        return index

    async def _audited(self, point: PointInTime) -> Reading:
        """Return what to read, once a part of what need not be read was looked at."""
        parent = await self._parent()
        reading = changes.everything(point) if parent is None else await self._reading(parent, point)
        auditing = Auditing(self._resources, self._job, self.backup, self._volume)
        self._audit = await auditing.audited(point, reading, parent, self._repository)
        return self._audit.reading

    async def _parent(self) -> Manifest | None:
        if self.backup.mode is BackupMode.FULL or self.backup.parent_id is None:
            return None
        parent = await self._repository.manifest(self.backup.parent_id)
        if parent is None:
            raise CorruptObject(f"the manifest of parent backup {self.backup.parent_id} is lost")
        return parent

    async def _reading(self, parent: Manifest, point: PointInTime) -> Reading:
        reading = await self._resources.workers.run(changes.since, parent, point)
        if reading.full_read_reason is not None:
            _log.warning("backup %s reads the whole volume: %s", self.backup.id, reading.full_read_reason)
        return reading

    async def _store(self, point: PointInTime, reading: Reading) -> Manifest:
        progress = ProgressMeter(self._resources.clock)
        self._run.progress = progress
        budget = self._resources.budget()
        pipeline = BackupPipeline(
            source=point,
            changed=reading.extents,
            parent=reading.base,
            repository=self._repository,
            options=BackupOptions(self.backup.chunk_size_bytes, self.backup.compression_level),
            workers=self._resources.workers,
            budget=budget,
            progress=progress,
            stored=StoredChunks(
                self._repository,
                self._resources.workers,
                self._index,
                PackIds(self._record),
                is_everywhere=lambda: not self.opened.lagging,
                damaged=await self._damaged(),
                find_condemned=await self._condemned(),
                note_stored=self._note_stored,
            ),
        )
        tree = await pipeline.run()
        await self._read_back(budget)
        statistics = pipeline.statistics(
            duration_s=self._resources.clock.monotonic() - self._started_s,
            requests=self._observed.counters.requests,
        )
        return self._manifest(point, reading, tree.root, with_audit(statistics, self._audit))

    async def _condemned(self) -> FindCondemned | None:
        """Return who knows what not to rely on; nobody, when nothing is condemned now: later it waits for this job."""
        backup, collections = self.backup, self._catalog.collections
        names = [RepositoryName(backup.project, target, backup.is_encrypted) for target in self.opened.targets]
        if not await collections.has_condemned(names):
            return None
        return partial(collections.condemned_among, names)

    def _manifest(self, point: PointInTime, reading: Reading, root: Pointer | None, statistics: Statistics) -> Manifest:
        backup = self.backup
        return Manifest(
            backup_id=backup.id,
            backup_name=backup.name,
            volume_id=self._volume.id,
            volume_name=self._volume.name,
            mode=backup.mode,
            parent_id=backup.parent_id,
            full_read_reason=reading.full_read_reason or backup.full_read_reason,
            created_at=backup.created_at.isoformat(),
            finished_at=self._resources.clock.now().isoformat(),
            size_bytes=point.size_bytes,
            chunk_size_bytes=backup.chunk_size_bytes,
            root=root,
            source_identity=point.identity,
            source_token=point.token,
            statistics=asdict(statistics),
        )

    async def _damaged(self) -> frozenset[bytes]:
        """Return the packs that are damaged on a target that the backup goes to."""
        keys = await self._catalog.condition.damaged_keys(
            self.backup.project, self.opened.targets, is_encrypted=self.backup.is_encrypted
        )
        return frozenset(pack_id for key in keys if (pack_id := layout.pack_id(key)) is not None)

    async def _read_back(self, budget: ByteBudget) -> None:
        """Check what was stored, as far as the type's budget goes, before anybody relies on it."""
        if self.backup.verify_bytes:
            await read_back(
                self._repository,
                self._stored,
                bytes_max=self.backup.verify_bytes,
                workers=self._resources.workers,
                budget=budget,
                random=Random(self.backup.id),  # noqa: S311 - which packs, no secret
            )

    async def _record(self, pack_ids: Sequence[bytes]) -> None:
        await self._catalog.record_packs(self._job.id, [pack_id.hex() for pack_id in pack_ids])

    def _note_stored(self, pack_id: bytes) -> None:
        if self.backup.verify_bytes:
            self._stored.append(pack_id)

    async def publish(self, manifest: Manifest) -> Manifest:
        """Write the manifest; the job has begun to publish, so that a cancellation no longer stops it.

        Return the one that stands: a worker that lost the job while it was publishing may have been faster.
        """
        try:
            await self._repository.publish(manifest)
        except Conflict:
            standing = await self._repository.manifest(manifest.backup_id)
            if standing is None:
                raise
            return standing
        except TargetError:
            if self.backup.copies:
                await self.withdraw()
            raise
        if not self.backup.copies:  # Of several targets each is asked later, one by one.
            await self._look_for(manifest.backup_id)
        return manifest

    async def _look_for(self, backup_id: str) -> None:
        """Believe no target that has only said that it has stored a manifest. CorruptObject."""
        try:
            if await self._repository.has_manifest(backup_id):
                return
        except TargetError as error:
            _log.warning("backup %s: nobody can look now whether its manifest is there: %s", backup_id, error)
            return
        raise CorruptObject(
            f"{layout.manifest(backup_id)} is lost: the target has just said that it has stored it, and has no such "
            "object"
        )

    async def withdraw(self) -> None:
        """Take back what targets have of a backup that too few have; what stays can be deleted like any."""
        try:
            await self._repository.target.delete(layout.manifest(self.backup.id))
        except TargetError as error:
            _log.warning("backup %s failed, and its manifest stays on a target: %s", self.backup.id, error)

    async def _commit(self, point: PointInTime) -> None:
        """Let tracking start anew from here. If it cannot, the next increment only reads more."""
        try:
            await self._resources.workers.run(point.commit)
        except SourceError as error:
            _log.warning("backup %s: its changed-block tracking goes on from earlier: %s", self.backup.id, error)
