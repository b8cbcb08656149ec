"""Work that has to end before its caller may leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
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
