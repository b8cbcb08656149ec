"""The replicate job: everything that a project's repository holds on one target, to another one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from backupd.jobs.copy import copy_manifest
from backupd.jobs.rescue import rescue_on
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import BackupState, CopyState, Job, RepositoryName
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.transfer import PackTransfer, Rescue
from backupd.repository import layout
from backupd.repository.repository import Repository


class ReplicateBody:
    """Runs replicate jobs. Only what the destination lacks is moved; started again it goes on."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._catalog = resources.catalog

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Copy packs first and manifests last, so that a backup is there only when all of it is."""
        origin, target, is_encrypted = (job.request[name] for name in ("source", "target", "is_encrypted"))
        repositories = self._resources.repositories
        run.progress = progress = ProgressMeter(self._resources.clock)
        source = await repositories.open(job.project, [origin], is_encrypted=is_encrypted)
        destination = await repositories.open_copy(source, job.project, target, is_encrypted=is_encrypted)
        # Listed before the packs: a backup that is published meanwhile may have packs that were not looked at.
        backup_ids = [backup_id async for backup_id in source.backup_ids()]
        rescue = await rescue_on(self._catalog, RepositoryName(job.project, target, is_encrypted=is_encrypted))
        transfer = PackTransfer(
            source,
            destination.target,
            workers=self._resources.workers,
            budget=self._resources.budget(),
            progress=progress,
            rescue=rescue,
        )
        async with aclosing(_missing_packs(source, destination, rescue)) as missing:
            await transfer.run(missing)
        await _bring_forwards(source, destination, transfer)
        for backup_id in backup_ids:
            await copy_manifest(source, destination, backup_id)
        await self._note(job, origin, target, set(backup_ids))

    async def _note(self, job: Job, origin: str, target: str, copied: set[str]) -> None:
        for backup in await self._catalog.backups(job.project):
            if backup.id not in copied or backup.state is not BackupState.AVAILABLE:
                continue
            states = {copy.target: copy.state for copy in await self._catalog.copies(backup.id)}
            if states.get(origin) is CopyState.COMPLETE and states.get(target) is not CopyState.COMPLETE:
                await self._catalog.complete_copy(backup.id, target, job_id=job.id, fence=job.fence)


async def _bring_forwards(source: Repository, destination: Repository, transfer: PackTransfer) -> None:
    """Bring what the source knows of packs that were compacted away, and that the destination has not either."""
    async for info in source.target.list(layout.FORWARDS):
        pack_id = layout.forwarded_pack_id(info.key)
        if pack_id is None or await destination.has_pack(pack_id):
            continue
        if (places := await source.forward(pack_id)) is not None:
            await transfer.bring_forward(pack_id, places)


async def _missing_packs(source: Repository, destination: Repository, rescue: Rescue) -> AsyncGenerator[bytes, None]:
    """Compare the listings a folder at a time, so that memory does not grow with the repository.

    What is there is relied on, and so it must stay there.
    """
    for folder in range(256):
        prefix = f"{layout.PACKS}{folder:02x}/"
        ours = {info.key: info.size_bytes async for info in source.target.list(prefix)}
        packs = {key: pack_id for key in ours if (pack_id := layout.pack_id(key)) is not None}
        await rescue(packs.values())
        there = {info.key: info.size_bytes async for info in destination.target.list(prefix)}
        for key, pack_id in packs.items():
            if there.get(key) != ours[key]:
                yield pack_id
