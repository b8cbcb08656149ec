"""The worker threads, which do all that would make the event loop wait: reading, hashing, sealing, writing."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_SETTLE_TIMEOUT_S = 60.0
_STEPS_BACK = 5
_log = logging.getLogger(__name__)


class Workers:
    """A fixed number of threads, shared by all jobs: so many that compute, and ``spare_count`` more, as some wait."""

    def __init__(self, thread_count: int, *, spare_count: int = 0) -> None:
        self.thread_count = thread_count
        self.spare_count = spare_count
        self._executor = ThreadPoolExecutor(
            thread_count + spare_count, thread_name_prefix="worker", initializer=_step_back
        )

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Start ``work`` as soon as a thread is free; the future is the caller's to await or to ``settle``."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._executor, lambda: work(*args, **kwargs))

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in a thread. When cancelled, ends only after the thread has let go of the arguments."""
        future = self.submit(work, *args, **kwargs)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await settle([future])
            raise

    async def opened(self, make: Callable[[], T], let_go: Callable[[T], object]) -> T:
        """As ``run``; when cancelled, also ``let_go`` of what was made meanwhile, since nobody else can."""
        future = self.submit(make)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await settle([future])
            if future.done() and not future.cancelled() and future.exception() is None:
                await settle([self.submit(let_go, future.result())])
            raise

    def close(self) -> None:
        """Wait for the threads to end."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _step_back() -> None:
    """Let the event loop, and the threads that it waits for, run before this one."""
    os.nice(_STEPS_BACK)  # In Linux that is for the calling thread alone.


async def settle(futures: Iterable[asyncio.Future[T]]) -> None:
    """Wait for work that nobody wants any more, so that no thread still uses what is freed next.

    A thread cannot be interrupted, and cancelling its future would only hide that it still runs. One that
    hangs in the kernel longer than a minute is given up; it can only reach memory of the job that failed.
    """
    waiting = [future for future in futures if not future.done()]
    if waiting:
        done, hung = await asyncio.wait(waiting, timeout=_SETTLE_TIMEOUT_S)
        for future in done:
            if not future.cancelled():
                future.exception()  # Its outcome no longer matters; asking keeps asyncio from logging it.
        if hung:
            _log.error("%d worker threads still hang after %g s", len(hung), _SETTLE_TIMEOUT_S)


class Kits(Generic[T]):
    """One kit of buffers and codec states for each thread, lent to the work that runs in it."""

    def __init__(self, make: Callable[[], T], count: int) -> None:
        self._free: SimpleQueue[T] = SimpleQueue()
        for _ in range(count):
            self._free.put(make())

    @contextmanager
    def lend(self) -> Iterator[T]:
        """Lend a kit; with a kit for each thread nobody ever waits."""
        kit = self._free.get()
        try:
            yield kit
        finally:
            self._free.put(kit)
