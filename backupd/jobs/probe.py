"""The probe job: what a target really does, measured and kept."""

from __future__ import annotations

from backupd.jobs.fitness import Fitness
from backupd.jobs.run import JobRun
from backupd.model import Job
from targets.probe import ESSENTIALS, FULL


class ProbeBody:
    """Runs probe jobs."""

    def __init__(self, fitness: Fitness) -> None:
        self._fitness = fitness

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Probe the target that the request names; the report is kept whatever it says."""
        await self._fitness.probe(job.request["target"], ESSENTIALS if job.request["is_quick"] else FULL)
