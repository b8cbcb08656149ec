"""Work on several objects at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence


async def each(names: Sequence[str], work: Callable[[str], Awaitable[None]], *, at_a_time: int) -> None:
    """Do ``work`` for every name. The first error stops the others and is raised when they have ended."""
    waiting = iter(names)

    async def run() -> None:
        for name in waiting:
            await work(name)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_a_time, len(names))):
                group.create_task(run())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
