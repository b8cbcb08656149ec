"""What a job's body gets from the worker that runs it."""

from __future__ import annotations

from typing import Protocol

from backupd.catalog.store import Catalog
from backupd.errors import BackupdError
from backupd.model import Job, JobState, Progress


class JobCancelled(BackupdError):
    """Somebody asked for the job to be cancelled."""

    code = "job.cancelled"


class Measured(Protocol):
    """Something whose progress can be asked for."""

    def snapshot(self) -> Progress:
        """Return the state of now."""


class _NotBegun:
    def snapshot(self) -> Progress:
        return Progress()


class JobRun:
    """One attempt, as its body sees it. The body sets ``progress``."""

    def __init__(self, catalog: Catalog, job: Job, lease_s: float) -> None:
        self._catalog = catalog
        self._job = job
        self._lease_s = lease_s
        self.progress: Measured = _NotBegun()

    async def begin_publish(self) -> None:
        """Pass the point of no return: LeaseLost if the job is another worker's by now, JobCancelled.

        From here on a cancellation is refused, after a crash too: no backup is both published and cancelled.
        """
        if await self._catalog.begin_publish(self._job.id, self._job.fence) is JobState.CANCELLING:
            raise JobCancelled("cancelled on request")

    async def heartbeat(self) -> JobState:
        """Renew the lease, write the progress down and return the job's state. LeaseLost."""
        return await self._catalog.heartbeat(self._job.id, self._job.fence, self._lease_s, self.progress.snapshot())
