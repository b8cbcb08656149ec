"""The copy job: one backup from a target that has it to one that does not."""

from __future__ import annotations

from backupd.errors import Conflict, CorruptObject
from backupd.jobs.rescue import rescue_on
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import Backup, BackupState, CopyState, Job, RepositoryName
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.transfer import PackTransfer, packs_of
from backupd.repository import layout
from backupd.repository.manifest import Manifest
from backupd.repository.repository import Repository
from targets.errors import ObjectExists


class CopyBody:
    """Runs copy jobs. Started again it goes on, since what is there already is not copied."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._catalog = resources.catalog

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Bring a backup to the target that the request names; its manifest last."""
        backup = await self._catalog.backup(job.project, job.of_backup)
        target = job.request["target"]
        if backup.state is not BackupState.AVAILABLE:
            raise Conflict(f"backup {backup.id} is {backup.state}; expected a backup that is available")
        sources = await self._complete(backup.id)
        if target not in sources:
            run.progress = progress = ProgressMeter(self._resources.clock)
            await self._copy(backup, sources, target, progress)
        await self._catalog.complete_copy(backup.id, target, job_id=job.id, fence=job.fence)

    async def _copy(self, backup: Backup, sources: list[str], target: str, progress: ProgressMeter) -> None:
        repositories = self._resources.repositories
        source = await repositories.open(backup.project, sources, is_encrypted=backup.is_encrypted)
        manifest = await source.manifest(backup.id)
        if manifest is None:
            raise CorruptObject(f"{layout.manifest(backup.id)} is lost: no target has such an object")
        holders = await self._catalog.holders(backup.project, is_encrypted=backup.is_encrypted)
        destination = await repositories.open_copy(
            source, backup.project, target, is_encrypted=backup.is_encrypted, is_holder=target in holders
        )
        transfer = PackTransfer(
            source,
            destination.target,
            workers=self._resources.workers,
            budget=self._resources.budget(),
            progress=progress,
            rescue=await rescue_on(
                self._catalog, RepositoryName(backup.project, target, is_encrypted=backup.is_encrypted)
            ),
        )
        parent = await self._parent(backup, source, target)
        await transfer.run(packs_of(manifest, source, self._resources.workers, without=parent))
        # What the destination may have from an attempt that the catalog knows nothing of is not what it shows.
        await copy_manifest(source, destination, backup.id, replace=True)

    async def _parent(self, backup: Backup, source: Repository, target: str) -> Manifest | None:
        """Return the parent's manifest if the target has all of the parent: what they share need not be looked at."""
        if backup.parent_id is None or target not in await self._complete(backup.parent_id):
            return None
        return await source.manifest(backup.parent_id)

    async def _complete(self, backup_id: str) -> list[str]:
        copies = await self._catalog.copies(backup_id)
        return [copy.target for copy in copies if copy.state is CopyState.COMPLETE]


async def copy_manifest(source: Repository, destination: Repository, backup_id: str, *, replace: bool = False) -> None:
    """Store a manifest as it is, once it was read and is right; from then on the destination has the backup.

    Conflict when there is another one of that name, unless that is to be replaced.
    """
    found = await source.stored_manifest(backup_id)
    if found is None:
        raise CorruptObject(f"{layout.manifest(backup_id)} is lost: the target has no such object")
    _, body = found  # Not read a second time: what is stored is what was looked at.
    try:
        await destination.target.put(layout.manifest(backup_id), body, if_absent=not replace)
    except ObjectExists:
        if await destination.target.get(layout.manifest(backup_id)) != body:
            raise Conflict(f"{layout.manifest(backup_id)}: the destination has another one of that name") from None
