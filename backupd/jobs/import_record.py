"""The import job: what a record describes is looked for on the target and becomes a backup here.

A record under another id gets a manifest of its own, so each of the two can be deleted without the other.
"""

from __future__ import annotations

from dataclasses import replace

from backupd.errors import Conflict, CorruptObject
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import BackupResult, BackupState, Job, Statistics
from backupd.repository import layout


class ImportBody:
    """Runs import jobs."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Publish the backup, or fail with the manifest that is not there."""
        catalog = self._resources.catalog
        backup = await catalog.backup(job.project, job.of_backup)
        if backup.state is BackupState.AVAILABLE:
            return
        repository = await self._resources.repositories.open(
            backup.project, [job.request["target"]], is_encrypted=backup.is_encrypted
        )
        origin_id = job.request["of_backup"]
        manifest = await repository.manifest(origin_id)
        if manifest is None:
            raise CorruptObject(f"{layout.manifest(origin_id)} is lost: the target has no such object")
        await run.begin_publish()
        if origin_id != backup.id:
            manifest = replace(manifest, backup_id=backup.id, backup_name=backup.name)
            try:
                await repository.publish(manifest)
            except Conflict:  # An attempt before this one has, or it was exported from here under this id.
                if await repository.manifest(backup.id) is None:
                    raise
        await catalog.publish_backup(
            backup.id,
            job_id=job.id,
            fence=job.fence,
            result=BackupResult(
                size_bytes=manifest.size_bytes,
                parent_id=backup.parent_id,
                full_read_reason=manifest.full_read_reason,
                statistics=Statistics(**manifest.statistics),
            ),
        )
