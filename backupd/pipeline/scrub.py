"""Scrub: objects of a target read whole and inspected, a few at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.inspection import Finding, inspect
from backupd.pipeline.parallel import for_each
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.workers import Workers
from backupd.repository.repository import Repository
from targets.base import Target
from targets.errors import ObjectNotFound, ShortRead

SCRUBS_MAX = 4
_UNIT_BYTES = 4 * 1024 * 1024


class Inspected(NamedTuple):
    """An object that was read, and what is wrong with it."""

    key: str
    size_bytes: int
    findings: list[Finding]


class Scrub:
    """Reads objects of one repository and inspects them; without ``repository`` only as far as no key is needed."""

    def __init__(
        self,
        target: Target,
        repository: Repository | None,
        *,
        workers: Workers,
        budget: ByteBudget,
        progress: ProgressMeter,
    ) -> None:
        self._target = target
        self._repository = repository
        self._workers = workers
        self._budget = budget
        self._progress = progress

    async def run(self, keys: AsyncIterator[str], tell: Callable[[Inspected], Awaitable[None]]) -> None:
        """Inspect each object and ``tell``; one that is gone by now is passed over."""

        async def work(key: str) -> None:
            if (inspected := await self.inspect(key)) is not None:
                await tell(inspected)

        await for_each(keys, work, tasks_max=SCRUBS_MAX)

    async def inspect(self, key: str) -> Inspected | None:
        """Return what is wrong with an object, None when there is none. What seems wrong is read once more."""
        inspected = await self._inspect(key)
        if inspected is not None and inspected.findings:
            inspected = await self._inspect(key)
        if inspected is not None:
            self._progress.add(inspected.size_bytes)
        return inspected

    async def _inspect(self, key: str) -> Inspected | None:
        try:
            size_bytes = (await self._target.head(key)).size_bytes
            async with self._budget.lend(-(-max(size_bytes, 1) // _UNIT_BYTES) * _UNIT_BYTES) as buffer:
                body = buffer[:size_bytes]
                if size_bytes:
                    await self._target.get_into(key, body)
                findings = await self._workers.run(inspect, key, body, self._repository)
        except ObjectNotFound:
            return None
        except ShortRead as error:
            return Inspected(key, 0, [Finding(f"cut short: {error}")])
        return Inspected(key, size_bytes, findings)
