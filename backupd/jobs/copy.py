"""The copy job: one backup from a target that has it to one that does not."""

from __future__ import annotations

from collections.abc import Sequence

from backupd.catalog.store import Catalog
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
        sources = await _complete(self._catalog, backup.id)
        if target not in sources:
            run.progress = progress = ProgressMeter(self._resources.clock)
            await bring(self._resources, backup, sources, target, progress)
        await self._catalog.complete_copy(backup.id, target, job_id=job.id, fence=job.fence)


async def bring(
    resources: Resources, backup: Backup, sources: Sequence[str], target: str, progress: ProgressMeter
) -> None:
    """Copy to ``target`` what it lacks of a backup that ``sources`` have; its manifest last.

    The job that asks must be on the backup, so that neither this nor its parent is deleted meanwhile. What listings
    tell is not relied on, since one may be late.
    """
    repositories, catalog = resources.repositories, resources.catalog
    source = await repositories.open(backup.project, sources, is_encrypted=backup.is_encrypted)
    holders = await catalog.holders(backup.project, is_encrypted=backup.is_encrypted)
    destination = await repositories.open_copy(
        source, backup.project, target, is_encrypted=backup.is_encrypted, is_holder=target in holders
    )
    found = await source.stored_manifest(backup.id)
    if found is None:
        raise CorruptObject(f"{layout.manifest(backup.id)} is lost: no target has such an object")
    manifest, body = found
    transfer = PackTransfer(
        source,
        destination.target,
        workers=resources.workers,
        budget=resources.budget(),
        progress=progress,
        rescue=await rescue_on(catalog, RepositoryName(backup.project, target, backup.is_encrypted)),
    )
    parent = await _parent(catalog, backup, source, target)
    await transfer.run(packs_of(manifest, source, resources.workers, without=parent))
    # As it was when it was looked at, and instead of what an attempt that nobody knows of may have left there.
    await destination.target.put(layout.manifest(backup.id), body)


async def _parent(catalog: Catalog, backup: Backup, source: Repository, target: str) -> Manifest | None:
    """Return the parent's manifest if the target has all of the parent: what they share need not be looked at.

    Of one that is being deleted nobody knows what is left there.
    """
    if backup.parent_id is None or target not in await _complete(catalog, backup.parent_id):
        return None
    if (await catalog.backup(backup.project, backup.parent_id)).state is not BackupState.AVAILABLE:
        return None
    return await source.manifest(backup.parent_id)


async def _complete(catalog: Catalog, backup_id: str) -> list[str]:
    return [copy.target for copy in await catalog.copies(backup_id) if copy.state is CopyState.COMPLETE]
