"""Deletions that failed because of a target are tried again, so that nobody has to think of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.errors import Conflict
from backupd.jobs.looking import look_now_and_then
from backupd.model import Job, JobKind, JobState

_LOOK_INTERVAL_S = 60.0
_PAUSE_S = 60.0
_PAUSE_S_MAX = 86_400.0
_log = logging.getLogger(__name__)


class Deleting:
    """Requests them anew, after a pause that doubles with each failure up to a day.

    Whoever wants to keep the backup after all cancels the job or holds the backup.
    """

    def __init__(self, catalog: Catalog, clock: Clock, *, wake: Callable[[], None]) -> None:
        self._catalog = catalog
        self._clock = clock
        self._wake = wake

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        await look_now_and_then(
            self.look,
            wake=self._wake,
            clock=self._clock,
            interval_s=_LOOK_INTERVAL_S,
            failed="nobody could look which deletions have failed",
        )

    async def look(self) -> int:
        """Request what is due and return how many deletions that is."""
        now, requested = self._clock.now(), 0
        for one in await self._catalog.failed_deletions():
            pause_s = min(_PAUSE_S_MAX, _PAUSE_S * 2.0 ** min(one.failures - 1, 32))
            if (now - one.ended_at).total_seconds() < pause_s:
                continue
            job = Job(str(uuid4()), one.project, JobKind.DELETE, one.backup_id, JobState.QUEUED, now)
            with suppress(Conflict):  # Somebody was faster, or holds it.
                await self._catalog.begin_delete(one.backup_id, job)
                _log.info("backup %s: deleted again after %d failures, by job %s", one.backup_id, one.failures, job.id)
                requested += 1
        return requested
