"""Copies that lag behind are made as soon as their target answers again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from uuid import uuid4

from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.jobs.looking import look_now_and_then
from backupd.repository import layout
from targets.base import Target
from targets.errors import ObjectNotFound, TargetError

_ANSWER_TIMEOUT_S = 10.0


class CatchingUp:
    """Queues copy jobs, at most one for each copy, and only while its target answers."""

    def __init__(
        self,
        catalog: Catalog,
        clock: Clock,
        targets: Mapping[str, Target],
        *,
        wake: Callable[[], None],
        interval_s: float,
    ) -> None:
        self._catalog = catalog
        self._clock = clock
        self._targets = targets
        self._wake = wake
        self._interval_s = interval_s

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        await look_now_and_then(
            self.look,
            wake=self._wake,
            clock=self._clock,
            interval_s=self._interval_s,
            failed="copies that lag could not be looked for",
        )

    async def look(self) -> int:
        """Queue what can be made now and return how many copies that is."""
        lagging = {copy.target for _, copy in await self._catalog.lagging_copies()}
        answering = [name for name in sorted(lagging) if await self._answers(name)]
        queued = await self._catalog.queue_copies(lambda: str(uuid4()), answering) if answering else []
        return len(queued)

    async def _answers(self, name: str) -> bool:
        if name not in self._targets:
            return False
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                await self._targets[name].head(layout.REPOSITORY)
        except ObjectNotFound:
            return True
        except (TargetError, TimeoutError):
            return False
        return True
