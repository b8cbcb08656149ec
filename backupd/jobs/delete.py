"""The delete job: the manifest goes first, so a backup is never listed without being whole."""

from __future__ import annotations

from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import BackupState, Job


class DeleteBody:
    """Runs delete jobs."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Remove the backup from its target, then from the catalog; packs stay for other backups."""
        catalog = self._resources.catalog
        backup = await catalog.backup(job.project, job.of_backup)
        if backup.state is BackupState.DELETED:
            return
        repository = await self._resources.repositories.open(
            backup.project, backup.target, is_encrypted=backup.is_encrypted, create=True
        )
        await repository.delete_manifest(backup.id)
        await catalog.finish_delete(backup.id, job_id=job.id, fence=job.fence)
