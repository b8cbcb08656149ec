"""The verify job: every byte of a backup, read and checked, and written down when it was and with what result."""

from __future__ import annotations

from backupd.condition import Verification
from backupd.errors import CorruptObject
from backupd.jobs.failure import causes, failure_of
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.jobs.stored import open_backup
from backupd.model import Failure, Job
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.verify import VerifyPipeline
from chunker.errors import UnknownFormat


class VerifyBody:
    """Runs verify jobs."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Fail with the key of the first object that is damaged or lost."""
        try:
            await self._verify(job, run)
        except Exception as error:
            # A target that does not answer says nothing about the backup.
            if any(isinstance(one, CorruptObject | UnknownFormat) for one in causes(error)):
                await self._store(job, failure_of(error))
            raise
        await self._store(job, None)

    async def _store(self, job: Job, failure: Failure | None) -> None:
        now = self._resources.clock.now()
        verification = Verification(job.of_backup, now, job.request.get("target"), failure)
        condition = self._resources.catalog.condition
        await condition.store_verification(verification, job_id=job.id, fence=job.fence)

    async def _verify(self, job: Job, run: JobRun) -> None:
        _, repository, manifest = await open_backup(self._resources, job)
        run.progress = ProgressMeter(self._resources.clock)
        pipeline = VerifyPipeline(
            manifest=manifest,
            repository=repository,
            workers=self._resources.workers,
            budget=self._resources.budget(),
            progress=run.progress,
        )
        await pipeline.run()
