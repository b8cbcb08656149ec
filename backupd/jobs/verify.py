"""The verify job: every byte of a backup, read and checked."""

from __future__ import annotations

from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.jobs.stored import open_backup
from backupd.model import Job
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.verify import VerifyPipeline


class VerifyBody:
    """Runs verify jobs."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Fail with the key of the first object that is damaged or lost."""
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
