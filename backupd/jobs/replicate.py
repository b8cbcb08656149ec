"""The replicate job: everything that a project's repository holds on one target, to another one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from backupd.jobs.copy import copy_manifest
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import BackupState, CopyState, Job
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.transfer import PackTransfer
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
        transfer = PackTransfer(
            source,
            destination.target,
            workers=self._resources.workers,
            budget=self._resources.budget(),
            progress=progress,
        )
        async with aclosing(_missing_packs(source, destination)) as missing:
            await transfer.run(missing)
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


async def _missing_packs(source: Repository, destination: Repository) -> AsyncGenerator[bytes, None]:
    """Compare the listings a folder at a time, so that memory does not grow with the repository."""
    for folder in range(256):
        prefix = f"{layout.PACKS}{folder:02x}/"
        there = {info.key async for info in destination.target.list(prefix)}
        async for info in source.target.list(prefix):
            if info.key not in there and (pack_id := layout.pack_id(info.key)) is not None:
                yield pack_id
