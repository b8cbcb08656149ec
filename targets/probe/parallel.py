"""Work on many things, so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from targets.errors import TargetError

T = TypeVar("T")


async def at_a_time(count: int, things: Iterable[T], work: Callable[[T], Awaitable[object]]) -> None:
    """Do ``work`` for each of the things. After a TargetError no more are begun, and the first one is raised."""
    remaining = iter(things)
    errors: list[TargetError] = []

    async def worker() -> None:
        for thing in remaining:
            if errors:
                return
            try:
                await work(thing)
            except TargetError as error:
                errors.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(worker())
    if errors:
        raise errors[0]
