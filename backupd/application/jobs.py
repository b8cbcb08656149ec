"""Jobs: shown and cancelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from backupd.application.fields import check_integer
from backupd.catalog.store import Catalog
from backupd.collection import CollectionReport
from backupd.model import Attempt, BackupResult, Job, JobKind, JobState, Progress

LISTED_MAX = 1000


@dataclass(frozen=True, slots=True)
class JobDetail:
    """A job, its attempts, and what it gave: for a backup that was published, and what some kinds of jobs tell."""

    job: Job
    attempts: list[Attempt]
    result: BackupResult | CollectionReport | dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Shows and cancels jobs."""

    catalog: Catalog
    wake: Callable[[], None]
    live_progress: Callable[[str], Progress | None]

    async def all(
        self, project: str, *, state: JobState | None = None, kind: JobKind | None = None, limit: int = 100
    ) -> list[Job]:
        """Return jobs, newest first. Raises InvalidRequest when ``limit`` is out of range."""
        check_integer("limit", limit, minimum=1, maximum=LISTED_MAX)
        jobs = await self.catalog.jobs(project, state=state, kind=kind, limit=limit)
        return [self._live(job) for job in jobs]

    async def one(self, project: str, job_id: str) -> JobDetail:
        """Return one job with its attempts. Raises NotFound."""
        job = await self.catalog.shown_job(project, job_id)
        return JobDetail(self._live(job), await self.catalog.attempts(job.id), await self._result(job))

    async def cancel(self, project: str, job_id: str) -> Job:
        """Return the job, cancelled or about to be. Raises NotFound, or Conflict when it has finished."""
        await self.catalog.request_cancel(project, job_id)
        self.wake()
        return await self.catalog.shown_job(project, job_id)

    def _live(self, job: Job) -> Job:
        # The catalog's progress is as old as the last heartbeat.
        progress = None if job.state.is_final else self.live_progress(job.id)
        return job if progress is None else replace(job, progress=progress)

    async def _result(self, job: Job) -> BackupResult | CollectionReport | dict[str, Any] | None:
        if job.kind is JobKind.COLLECT:
            return await self.catalog.collections.report(job.id)
        if job.kind is not JobKind.BACKUP:
            return await self.catalog.condition.result(job.id)
        if job.state is not JobState.SUCCEEDED:
            return None
        backup = await self.catalog.backup(job.project, job.of_backup)
        if backup.size_bytes is None or backup.statistics is None:
            return None
        return BackupResult(backup.size_bytes, backup.parent_id, backup.full_read_reason, backup.statistics)
