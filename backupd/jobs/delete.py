"""The delete job: the manifest goes first, so a backup is never listed without being whole."""

from __future__ import annotations

import logging

from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import BackupState, Job
from backupd.repository import layout

_log = logging.getLogger(__name__)


class DeleteBody:
    """Runs delete jobs."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Remove the backup from its targets, then from the catalog; packs stay for other backups."""
        catalog = self._resources.catalog
        backup = await catalog.backup(job.project, job.of_backup)
        if backup.state is BackupState.DELETED:
            return
        copies = [copy.target for copy in await catalog.copies(backup.id)]
        for target in dict.fromkeys([*backup.targets, *copies]):
            if self._resources.repositories.is_configured(target):
                scoped = self._resources.repositories.scoped(backup.project, target, is_encrypted=backup.is_encrypted)
                await scoped.delete(layout.manifest(backup.id))
            else:
                _log.warning("backup %s: its copy on target %s, which is not configured, stays", backup.id, target)
        await catalog.finish_delete(backup.id, job_id=job.id, fence=job.fence)
