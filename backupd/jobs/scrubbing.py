"""Targets that have a budget for it are scrubbed once a day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from uuid import uuid4

from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.config import TargetConfig
from backupd.jobs.looking import look_now_and_then
from backupd.model import Job, JobKind, JobState

PROJECT = "default"
_EVERY = timedelta(days=1)
_LOOK_INTERVAL_S = 600.0


class Scrubbing:
    """Queues a scrub job for each target whose last one began a day ago, whenever the daemon was started since."""

    def __init__(
        self, catalog: Catalog, clock: Clock, targets: Mapping[str, TargetConfig], *, wake: Callable[[], None]
    ) -> None:
        self._catalog = catalog
        self._clock = clock
        self._budgets = {name: one.scrub_bytes_per_day for name, one in targets.items() if one.scrub_bytes_per_day}
        self._wake = wake

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        if not self._budgets:
            return
        await look_now_and_then(
            self.look,
            wake=self._wake,
            clock=self._clock,
            interval_s=_LOOK_INTERVAL_S,
            failed="targets that are to be scrubbed could not be looked for",
        )

    async def look(self) -> int:
        """Queue what is due and return how many jobs that is."""
        now = self._clock.now()
        queued = 0
        for target, bytes_max in self._budgets.items():
            last = await self._last(target)
            if last is None or (last.state.is_final and last.created_at + _EVERY <= now):
                request = {"target": target, "bytes_max": bytes_max, "with_keys": True, "is_daily": True}
                job = Job(str(uuid4()), PROJECT, JobKind.SCRUB, None, JobState.QUEUED, now, request)
                await self._catalog.add_job(job)
                queued += 1
        return queued

    async def _last(self, target: str) -> Job | None:
        # Those of an operator count for nothing: what he had scrubbed today is not the oldest any more.
        jobs = await self._catalog.jobs(PROJECT, kind=JobKind.SCRUB)
        mine = (job for job in jobs if job.request.get("target") == target and job.request.get("is_daily"))
        return next(mine, None)
