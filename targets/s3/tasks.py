"""Work that has to end before its caller may leave, and work on several items at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


async def settled(work: Awaitable[T]) -> T:
    """Return its outcome. A cancellation waits for its end and is raised then: give ``work`` a deadline."""
    running = asyncio.shield(work)
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not running.cancelled():
            running.exception()  # Looked at, so that nobody complains that it was lost.
        raise cancelled
    return running.result()


async def each(items: Iterator[T], work: Callable[[T], Awaitable[object]], *, at_a_time: int) -> None:
    """Do ``work`` for every item. The first error stops the others and is raised when they have ended."""

    async def run() -> None:
        for item in items:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_a_time):
                group.create_task(run())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
