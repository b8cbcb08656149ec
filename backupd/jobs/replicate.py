"""The replicate job: every available backup that one target of a project has, to another one."""

from __future__ import annotations

from backupd.errors import CorruptObject
from backupd.jobs.copy import bring
from backupd.jobs.failure import causes
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import CopyState, Job
from backupd.pipeline.progress import ProgressMeter


class ReplicateBody:
    """Runs replicate jobs. Only what the destination lacks is moved; started again it goes on."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._catalog = resources.catalog

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Bring one backup after the other, parents first; what is damaged keeps no other one from being copied.

        What the targets have is taken from the catalog: of a backup that it does not know nobody would tell the
        destination when it is deleted.
        """
        run.progress = progress = ProgressMeter(self._resources.clock)
        damaged: list[Exception] = []
        found = await self._catalog.backups(job.project)
        for backup_id in [one.id for one in reversed(found) if one.is_encrypted == job.request["is_encrypted"]]:
            try:
                await self._bring(job, backup_id, progress)
            except (CorruptObject, ExceptionGroup) as error:
                if not all(isinstance(one, CorruptObject) for one in causes(error)):
                    raise
                damaged.append(error)
        if damaged:
            raise ExceptionGroup("some backups are damaged", damaged)

    async def _bring(self, job: Job, backup_id: str, progress: ProgressMeter) -> None:
        origin, target = job.request["source"], job.request["target"]
        states = {copy.target: copy.state for copy in await self._catalog.copies(backup_id)}
        if states.get(origin) is not CopyState.COMPLETE or states.get(target) is CopyState.COMPLETE:
            return
        if not await self._catalog.turn_to(backup_id, job_id=job.id, fence=job.fence):
            return  # It is being deleted.
        backup = await self._catalog.backup(job.project, backup_id)
        await bring(self._resources, backup, [origin], target, progress)
        await self._catalog.complete_copy(backup_id, target, job_id=job.id, fence=job.fence)
