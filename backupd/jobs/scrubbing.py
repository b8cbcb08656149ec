"""Targets that have a budget for it are scrubbed once a day."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from uuid import uuid4

from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.config import TargetConfig
from backupd.jobs.looking import look_now_and_then
from backupd.model import Job, JobKind, JobState

_EVERY = timedelta(days=1)
_LOOK_INTERVAL_S = 600.0


class Scrubbing:
    """Queues a scrub job for what each project has on a target, a day after the last one, however often it is started.

    They share the budget of the target by how much they had there when it was listed last.
    """

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
        queued = 0
        projects: dict[str, list[str]] = {}
        for project, target in await self._catalog.collections.stored_to():
            projects.setdefault(target, []).append(project)
        for target, bytes_max in self._budgets.items():
            shares = await self._shares(target, projects.get(target, []), bytes_max)
            for project, share in shares.items():
                queued += await self._queue(project, target, share)
        return queued

    async def _shares(self, target: str, projects: Sequence[str], bytes_max: int) -> dict[str, int]:
        listed = {one: await self._catalog.condition.listed_bytes(target, f"{one}/") for one in projects}
        # Who was not listed yet counts as one of the others.
        usual = max(1, sum(listed.values()) // max(1, sum(map(bool, listed.values()))))
        weights = {project: size_bytes or usual for project, size_bytes in listed.items()}
        return {one: max(1, bytes_max * weight // sum(weights.values())) for one, weight in weights.items()}

    async def _queue(self, project: str, target: str, bytes_max: int) -> int:
        now = self._clock.now()
        last = await self._last(project, target)
        if last is not None and not (last.state.is_final and last.created_at + _EVERY <= now):
            return 0
        request = {"target": target, "bytes_max": bytes_max, "with_keys": True, "is_daily": True}
        await self._catalog.add_job(Job(str(uuid4()), project, JobKind.SCRUB, None, JobState.QUEUED, now, request))
        return 1

    async def _last(self, project: str, target: str) -> Job | None:
        # Those of an operator count for nothing: what he had scrubbed today is not the oldest any more.
        jobs = await self._catalog.jobs(project, kind=JobKind.SCRUB)
        mine = (job for job in jobs if job.request.get("target") == target and job.request.get("is_daily"))
        return next(mine, None)
