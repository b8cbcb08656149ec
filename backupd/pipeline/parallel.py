"""Work on a stream of items, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def for_each(items: AsyncIterator[T], work: Callable[[T], Awaitable[object]], *, tasks_max: int) -> None:
    """Do ``work`` for every item, which is not None, ``tasks_max`` at a time; the first failure cancels the others."""
    queue: asyncio.Queue[T | None] = asyncio.Queue(maxsize=1)

    async def worker() -> None:
        while (item := await queue.get()) is not None:
            await work(item)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(tasks_max):
            tasks.create_task(worker())
        async for item in items:
            await queue.put(item)
        for _ in range(tasks_max):
            await queue.put(None)
