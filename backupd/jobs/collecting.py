"""Collections that nobody need ask for: now and then, and when what one has waited for has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import uuid4

from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.jobs.looking import look_now_and_then
from backupd.model import Job, JobKind, JobState

_LOOK_INTERVAL_S = 60.0


class Collecting:
    """Queues collect jobs. ``intervals_s``: target -> how often; 0: only what was begun is carried out."""

    def __init__(
        self,
        catalog: Catalog,
        clock: Clock,
        intervals_s: Mapping[str, float],
        *,
        wake: Callable[[], None],
        look_interval_s: float = _LOOK_INTERVAL_S,
    ) -> None:
        self._catalog = catalog
        self._collections = catalog.collections
        self._clock = clock
        self._intervals_s = intervals_s
        self._wake = wake
        self._look_interval_s = look_interval_s

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        await look_now_and_then(
            self.look,
            wake=self._wake,
            clock=self._clock,
            interval_s=self._look_interval_s,
            failed="nobody could look what is to be collected",
        )

    async def look(self) -> int:
        """Queue what is due and return how many jobs that is."""
        return await self._queue_sweeps() + await self._queue_due()

    async def _queue_sweeps(self) -> int:
        """Queue the end of each condemnation that has nothing to wait for any more."""
        due = {
            (name.project, name.target)
            for name, epoch in await self._collections.pending()
            if name.target in self._intervals_s and not await self._collections.waiting_for(name, epoch)
        }
        return sum([await self._queue(*one, is_sweep_only=True) for one in sorted(due)])

    async def _queue_due(self) -> int:
        queued = 0
        for project, target in await self._collections.stored_to():
            interval_s = self._intervals_s.get(target, 0.0)
            begun_at = await self._collections.last_begun(project, target) if interval_s else None
            if begun_at is not None and (self._clock.now() - begun_at).total_seconds() >= interval_s:
                queued += await self._queue(project, target, is_sweep_only=False)
        return queued

    async def _queue(self, project: str, target: str, *, is_sweep_only: bool) -> int:
        request = {"target": target, "is_dry_run": False, "is_sweep_only": is_sweep_only, "forget_writer": None}
        job = Job(str(uuid4()), project, JobKind.COLLECT, None, JobState.QUEUED, self._clock.now(), request)
        return 1 if await self._collections.add_job(job) is None else 0
