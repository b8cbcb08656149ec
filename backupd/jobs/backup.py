"""The backup job: from a row in the catalog to a published manifest, resumable at any point."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from random import Random

from backupd.errors import Conflict, CorruptObject
from backupd.jobs.auditing import Audited, Auditing, with_audit
from backupd.jobs.published import result_of
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import Audit, Backup, BackupMode, BackupState, Job, RepositoryName, Statistics, Volume
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


class BackupBody:
    """Runs backup jobs."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._catalog = resources.catalog

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Back the volume up and publish, or finish what an earlier attempt had all but done."""
        backup = await self._catalog.backup(job.project, job.of_backup)
        if backup.state is BackupState.AVAILABLE:
            return
        opened = await self._resources.repositories.open_to_write(
            backup.project,
            backup.targets,
            is_encrypted=backup.is_encrypted,
            quorum=backup.quorum,
            behind=await self._behind(backup),
            holders=await self._catalog.holders(backup.project, is_encrypted=backup.is_encrypted),
        )
        audit = None
        published = await self._published(backup, opened)
        if published is None:
            volume = await self._catalog.volume(job.project, backup.volume_id)
            if (snapshot_id := job.request.get("snapshot_id")) is not None:
                snapshot = await self._catalog.block_storage.snapshot(job.project, snapshot_id)
                volume = replace(volume, source=str(Address.of_path(snapshot.path)))
            attempt = _Attempt(self._resources, job, run, backup, volume, opened)
            published = await attempt.run()
            audit = attempt.audit
        await self._catalog.publish_backup(
            backup.id,
            job_id=job.id,
            fence=job.fence,
            result=result_of(published, audit),
            lagging=await self._lagging(backup, opened),
            finished_at=datetime.fromisoformat(published.finished_at),
        )

    async def _published(self, backup: Backup, opened: Opened) -> Manifest | None:
        """Return the manifest that an earlier attempt may have stored.

        Of several targets one that does not answer now is passed over: what it has is replaced when it gets
        its copy, as long as the catalog knows nothing of it.
        """
        for target in opened.complete:
            repository = await self._resources.repositories.open(
                backup.project, [target], is_encrypted=backup.is_encrypted
            )
            try:
                manifest = await repository.manifest(backup.id)
            except TargetError as error:
                if not backup.copies:
                    raise
                _log.warning("backup %s: target %s cannot be asked for it: %s", backup.id, target, error)
                continue
            if manifest is not None:
                return manifest
        return None

    async def _behind(self, backup: Backup) -> dict[str, str]:
        """Return the targets that lack an earlier backup, which this one may share chunks with.

        It shares some only with backups that go to the same targets: a parent and the chunk index are of those.
        """
        return {
            copy.target: f"it has yet to get backup {copy.backup_id}"
            for other, copy in await self._catalog.lagging_copies()
            if {*other.targets} == {*backup.targets}
            and (other.project, other.is_encrypted) == (backup.project, backup.is_encrypted)
        }

    async def _lagging(self, backup: Backup, opened: Opened) -> list[str]:
        """Return the targets that do not have the backup: who missed a pack did not get the manifest either.

        Those that did not fail now are asked, since it may be an earlier attempt that published. When none can say
        that it has it, the error of the last is raised: nothing could be restored, and no copy be made.
        """
        lagging = [*opened.lagging]
        failure: TargetError | CorruptObject | None = None
        for target in opened.complete if backup.copies else ():
            try:
                one = await self._resources.repositories.open(
                    backup.project, [target], is_encrypted=backup.is_encrypted
                )
                if await one.has_manifest(backup.id):
                    continue
                _log.warning("backup %s: target %s does not have it yet", backup.id, target)
                failure = failure or CorruptObject(f"{layout.manifest(backup.id)} is lost: target {target} lacks it")
            except (TargetError, CorruptObject) as error:
                _log.warning("backup %s: target %s cannot be asked for it: %s", backup.id, target, error)
                failure = error
            lagging.append(target)
        if failure is not None and len(lagging) == len(opened.targets):
            raise failure
        return lagging


class _Attempt:
    """One attempt to take one backup."""

    def __init__(
        self,
        resources: Resources,
        job: Job,
        run: JobRun,
        backup: Backup,
        volume: Volume,
        opened: Opened,
    ) -> None:
        self._resources = resources
        self._catalog = resources.catalog
        self._job = job
        self._run = run
        self._backup = backup
        self._volume = volume
        self._opened = opened
        self._observed = Observe(opened.repository.target, name="+".join(backup.targets))
        self._repository = opened.repository.through(self._limited(self._observed))
        self._stored: list[bytes] = []
        self._audit: Audited | None = None
        self._started_s = resources.clock.monotonic()

    def _limited(self, target: Target) -> Target:
        """Return the target under the limit of the backup's type, if that has one."""
        if not self._backup.bytes_per_s:
            return target
        clock = self._resources.clock
        return Limit(
            target,
            operations_max=_OPERATIONS_MAX,
            bytes_per_s=self._backup.bytes_per_s,
            monotonic=clock.monotonic,
            sleep=clock.sleep,
        )

    async def run(self) -> Manifest:
        """Read the source, store what is new and publish the manifest."""
        workers = self._resources.workers
        index = await self._index()
        point = await workers.run(self._open)
        if warning := getattr(point, "warning", None):  # Only few kinds of points have anything to say.
            _log.warning("backup %s: %s", self._backup.id, warning)
        try:
            await workers.run(point.check)
            manifest = await self._store(point, await self._audited(point), index)
            await workers.run(point.check)
            published = await self._publish(manifest)
        except BaseException:
            await self._let_go(point.rollback)
            raise
        else:
            await self._commit(point)
        finally:
            await self._let_go(point.close)
        return published

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

    def _open(self) -> PointInTime:
        return self._source().open()

    def _source(self) -> Source:
        source = self._resources.open_source(self._volume)
        given = self._job.request.get("changed_extents")
        if given is None:
            return source
        return GivenExtents(source, tuple(Extent(offset, length) for offset, length in given))

    async def _index(self) -> ChunkIndex | None:
        """Open the chunk index and put into it what earlier attempts of this job had stored."""
        if not self._backup.is_deduplicated:
            return None
        index = await self._resources.repositories.index(self._repository, self._opened.targets)
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
        auditing = Auditing(self._resources, self._job, self._backup, self._volume)
        self._audit = await auditing.audited(point, reading, parent, self._repository)
        return self._audit.reading

    async def _parent(self) -> Manifest | None:
        if self._backup.mode is BackupMode.FULL or self._backup.parent_id is None:
            return None
        parent = await self._repository.manifest(self._backup.parent_id)
        if parent is None:
            raise CorruptObject(f"the manifest of parent backup {self._backup.parent_id} is lost")
        return parent

    async def _reading(self, parent: Manifest, point: PointInTime) -> Reading:
        reading = await self._resources.workers.run(changes.since, parent, point)
        if reading.full_read_reason is not None:
            _log.warning("backup %s reads the whole volume: %s", self._backup.id, reading.full_read_reason)
        return reading

    async def _store(self, point: PointInTime, reading: Reading, index: ChunkIndex | None) -> Manifest:
        progress = ProgressMeter(self._resources.clock)
        self._run.progress = progress
        budget = self._resources.budget()
        pipeline = BackupPipeline(
            source=point,
            changed=reading.extents,
            parent=reading.base,
            repository=self._repository,
            options=BackupOptions(self._backup.chunk_size_bytes, self._backup.compression_level),
            workers=self._resources.workers,
            budget=budget,
            progress=progress,
            stored=StoredChunks(
                self._repository,
                self._resources.workers,
                index,
                PackIds(self._record),
                is_everywhere=lambda: not self._opened.lagging,
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
        backup, collections = self._backup, self._catalog.collections
        names = [RepositoryName(backup.project, target, backup.is_encrypted) for target in self._opened.targets]
        if not await collections.has_condemned(names):
            return None
        return partial(collections.condemned_among, names)

    def _manifest(self, point: PointInTime, reading: Reading, root: Pointer | None, statistics: Statistics) -> Manifest:
        backup = self._backup
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
            self._backup.project, self._opened.targets, is_encrypted=self._backup.is_encrypted
        )
        return frozenset(pack_id for key in keys if (pack_id := layout.pack_id(key)) is not None)

    async def _read_back(self, budget: ByteBudget) -> None:
        """Check what was stored, as far as the type's budget goes, before anybody relies on it."""
        if self._backup.verify_bytes:
            await read_back(
                self._repository,
                self._stored,
                bytes_max=self._backup.verify_bytes,
                workers=self._resources.workers,
                budget=budget,
                random=Random(self._backup.id),  # noqa: S311 - which packs, no secret
            )

    async def _record(self, pack_ids: Sequence[bytes]) -> None:
        await self._catalog.record_packs(self._job.id, [pack_id.hex() for pack_id in pack_ids])

    def _note_stored(self, pack_id: bytes) -> None:
        if self._backup.verify_bytes:
            self._stored.append(pack_id)

    async def _publish(self, manifest: Manifest) -> Manifest:
        """Write the manifest, if this worker still holds the job; a cancellation no longer stops it.

        Return the one that stands: a worker that lost the job while it was publishing may have been faster.
        """
        await self._run.begin_publish()
        try:
            await self._repository.publish(manifest)
        except Conflict:
            standing = await self._repository.manifest(manifest.backup_id)
            if standing is None:
                raise
            return standing
        except TargetError:
            if self._backup.copies:
                await self._withdraw(manifest.backup_id)
            raise
        if not self._backup.copies:  # Of several targets each is asked later, one by one.
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

    async def _withdraw(self, backup_id: str) -> None:
        """Take back what some targets have of a backup that too few have; what stays can be deleted like any."""
        try:
            await self._repository.target.delete(layout.manifest(backup_id))
        except TargetError as error:
            _log.warning("backup %s failed, and its manifest stays on a target: %s", backup_id, error)

    async def _commit(self, point: PointInTime) -> None:
        """Let tracking start anew from here. If it cannot, the next increment only reads more."""
        try:
            await self._resources.workers.run(point.commit)
        except SourceError as error:
            _log.warning("backup %s: its changed-block tracking goes on from earlier: %s", self._backup.id, error)
