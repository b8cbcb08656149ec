"""The delete job: the manifest goes first, so a backup is never listed without being whole.

One that fails before it has removed anything leaves the backup as it was.
"""

from __future__ import annotations

import logging

from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import Backup, BackupState, CopyState, Job, RepositoryName
from backupd.repository import layout
from targets.base import Target, exists
from targets.errors import TargetError, Unavailable

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
        if backup.state is not BackupState.DELETING:  # Given back, by an attempt that died before it could say so.
            raise Unavailable(f"backup {backup.id} is {backup.state}: an earlier attempt could not reach its targets")
        copies = await catalog.copies(backup.id)
        # A copy that failed may have brought the manifest, and nothing else tells of it.
        copied_to = await catalog.copied_to(backup.id)
        targets = self._targets(backup, [*(copy.target for copy in copies), *copied_to])
        holders = [
            targets[copy.target] for copy in copies if copy.state is CopyState.COMPLETE and copy.target in targets
        ]
        key = layout.manifest(backup.id)
        has_begun = job.fence > 1  # Nobody knows what an earlier attempt has removed.
        try:
            await _is_on_all(holders, key)  # Who is down is better known before than after another has lost it.
            has_begun = True
            for target in targets.values():
                await target.delete(key)
        except TargetError:
            if not has_begun or await _is_surely_on_all(holders, key):
                await catalog.keep_backup(backup.id, job_id=job.id, fence=job.fence)
            raise
        await catalog.finish_delete(backup.id, job_id=job.id, fence=job.fence)

    def _targets(self, backup: Backup, copies: list[str]) -> dict[str, Target]:
        repositories = self._resources.repositories
        found = {}
        for name in dict.fromkeys([*backup.targets, *copies]):
            if repositories.is_configured(name):
                found[name] = repositories.part_of(RepositoryName(backup.project, name, backup.is_encrypted))
            else:
                _log.warning("backup %s: its copy on target %s, which is not configured, stays", backup.id, name)
        return found


async def _is_on_all(holders: list[Target], key: str) -> bool:
    return all([await exists(target, key) for target in holders])


async def _is_surely_on_all(holders: list[Target], key: str) -> bool:
    try:
        return await _is_on_all(holders, key)
    except TargetError:
        return False
