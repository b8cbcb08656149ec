"""Work that blocks, in threads that a driver owns."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


async def outcome(work: Future[T]) -> T:
    """Return the result; if cancelled, withdraw the work or, when it runs already, let it end first."""
    done = asyncio.wrap_future(work)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        if not work.cancel():
            await _settled(done)
        raise


async def shut_down(executor: ThreadPoolExecutor) -> None:
    """Return when its threads have ended; may be called twice."""
    # Waiting for threads blocks, so it takes a thread too; that one is idle when it is waited for.
    with ThreadPoolExecutor(1, thread_name_prefix="target-close") as closer:
        await outcome(closer.submit(executor.shutdown))


async def _settled(done: asyncio.Future[T]) -> None:
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError:
            continue  # Asked once more; the first cancellation is raised when the thread has ended.
