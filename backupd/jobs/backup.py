"""The backup job: from a row in the catalog to a published manifest, resumable at any point."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial

from backupd.errors import CorruptObject
from backupd.jobs.attempt import Attempt
from backupd.jobs.points import let_go
from backupd.jobs.published import result_of
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import Backup, BackupState, CopyState, Job, Volume
from backupd.repository import layout
from backupd.repository.manifest import Manifest
from backupd.repository.opened import Opened
from chunker.sources.base import PointInTime
from targets.errors import TargetError

_log = logging.getLogger(__name__)


class BackupBody:
    """Runs backup jobs."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._catalog = resources.catalog

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Back the volumes up and publish, or finish what an earlier attempt had all but done."""
        backups = await self._catalog.backups_of(job)
        wanted = [backup for backup in backups if backup.state is not BackupState.AVAILABLE]
        attempts = [await self._attempt(job, run, backup) for backup in wanted]
        published = [await self._published(attempt.backup, attempt.opened) for attempt in attempts]
        if None in published:
            await self._withdraw_all(attempts, published, is_torn=len(wanted) < len(backups))
            published = [*await self._take(run, attempts)]
        for attempt, manifest in zip(attempts, published, strict=True):
            assert manifest is not None, "each was there, or has been made"
            await self._catalog.publish_backup(
                attempt.backup.id,
                job_id=job.id,
                fence=job.fence,
                result=result_of(manifest, attempt.audit),
                lagging=await self._lagging(attempt.backup, attempt.opened),
                finished_at=datetime.fromisoformat(manifest.finished_at),
            )

    async def _attempt(self, job: Job, run: JobRun, backup: Backup) -> Attempt:
        opened = await self._resources.repositories.open_to_write(
            backup.project,
            backup.targets,
            is_encrypted=backup.is_encrypted,
            quorum=backup.quorum,
            behind=await self._behind(backup),
            holders=await self._catalog.holders(backup.project, is_encrypted=backup.is_encrypted),
        )
        return Attempt(self._resources, job, run, backup, opened)

    async def _take(self, run: JobRun, attempts: Sequence[Attempt]) -> list[Manifest]:
        """Read the volumes as they were at one instant; publish when all of it is stored, and then all of it."""
        volumes = [await attempt.prepare() for attempt in attempts]
        async with self._frozen(attempts, volumes) as points:
            manifests = [await attempt.store(point) for attempt, point in zip(attempts, points, strict=True)]
            await run.begin_publish()
            published: list[Manifest] = []
            try:
                for attempt, manifest in zip(attempts, manifests, strict=True):
                    published.append(await attempt.publish(manifest))
            except (TargetError, CorruptObject):
                # Of an instant there is all or nothing; what failed last may be there nevertheless.
                for attempt in attempts[: len(published) + 1]:
                    await attempt.withdraw()
                raise
            return published

    @asynccontextmanager
    async def _frozen(
        self, attempts: Sequence[Attempt], volumes: Sequence[Volume]
    ) -> AsyncIterator[Sequence[PointInTime]]:
        """Take points in time of all volumes, and end them with the context."""
        points = await self._resources.workers.opened(partial(self._open, attempts, volumes), let_go)
        async with AsyncExitStack() as held:
            for attempt, point in zip(attempts, points, strict=True):
                await held.enter_async_context(attempt.held(point))
            yield points

    def _open(self, attempts: Sequence[Attempt], volumes: Sequence[Volume]) -> Sequence[PointInTime]:
        if len(attempts) == 1:
            return [attempts[0].source().open()]
        return self._resources.open_group(volumes)

    async def _withdraw_all(
        self, attempts: Sequence[Attempt], published: Sequence[Manifest | None], *, is_torn: bool
    ) -> None:
        """Take back what an attempt has published of a group that it did not finish: that instant is gone.

        CorruptObject when it had finished, so that some are available.
        """
        for attempt, manifest in zip(attempts, published, strict=True):
            if manifest is None and is_torn:
                key = layout.manifest(attempt.backup.id)
                raise CorruptObject(f"{key} is lost: other backups of its instant are available")
            if manifest is not None:
                await attempt.opened.repository.target.delete(layout.manifest(attempt.backup.id))

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

        It shares some only with backups that go to the same targets: a parent and the chunk index are of those. The
        parent may be about to be deleted, so that it is not among those that targets have yet to get.
        """
        lagging = [
            copy
            for other, copy in await self._catalog.lagging_copies()
            if {*other.targets} == {*backup.targets}
            and (other.project, other.is_encrypted) == (backup.project, backup.is_encrypted)
        ]
        if backup.parent_id is not None:
            of_parent = await self._catalog.copies(backup.parent_id)
            lagging += [copy for copy in of_parent if copy.state is CopyState.LAGGING]
        return {copy.target: f"it has yet to get backup {copy.backup_id}" for copy in lagging}

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
