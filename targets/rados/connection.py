"""The one session of a target: opened when it can be, closed when nothing uses it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from targets.errors import Retryable
from targets.rados.completions import Completions, Ending, Outcome, Submit, Take, done
from targets.rados.options import Namespace, RadosOptions
from targets.rados.session import LOOKS_MAX, Libraries, Session

T = TypeVar("T")

_THREADS = 4  # For what blocks: connecting, pages of listings.


class Connection:
    """Making one connects, and raises what is wrong for good; a cluster that does not answer is asked again later."""

    def __init__(self, libraries: Libraries, namespace: Namespace, options: RadosOptions) -> None:
        self._libraries = libraries
        self._namespace = namespace
        self._options = options
        self._session: Session | None = None
        self._opening: Future[None] | None = None
        with suppress(Retryable):  # The next request tries again, and tells.
            self._open()
        self._completions = Completions(libraries.binding.OSError)
        self._executor = ThreadPoolExecutor(_THREADS + LOOKS_MAX, thread_name_prefix="target-rados")
        # One thread copies large bodies. Were it several, each would have an arena of malloc to itself, and most of
        # the memory for the copies would be new to it: at 32 puts of 16 MiB that took more than the copying.
        self._copier = ThreadPoolExecutor(1, thread_name_prefix="target-rados-copy")
        self._looks = asyncio.Semaphore(LOOKS_MAX)

    async def session(self) -> Session:
        """Return the session, after opening it if need be. What asks at the same time shares one attempt."""
        while self._session is None:
            if self._opening is None or self._opening.done():
                self._opening = self._executor.submit(self._open)
            await done(self._opening)
        return self._session

    async def run(self, work: Callable[[], T]) -> T:
        """Do what blocks in a thread, to its end."""
        return await done(self._executor.submit(work))

    async def look(self, look: Callable[[], T]) -> T:
        """Do what waits for the cluster in a thread. A few at a time: all threads must not wait for one OSD."""
        async with self._looks:  # Who waits for a turn here can be cancelled at once.
            return await self.run(look)

    def start(self, submit: Submit, *, in_thread: bool = False, take: Take | None = None) -> Ending[Outcome]:
        """Submit a request and return its outcome to come."""
        ending = self._completions.expect()
        if in_thread:
            self._copier.submit(self._completions.submit, ending, submit, take)
        else:
            self._completions.submit(ending, submit, take)
        return ending

    async def aclose(self) -> None:
        """Wait for what is under way, then disconnect and end the threads."""
        await self._completions.settled()
        # Waiting for threads blocks, so it takes a thread too; that one is idle when it is waited for.
        with ThreadPoolExecutor(1, thread_name_prefix="target-rados-close") as closer:
            await done(closer.submit(self._close))

    def _open(self) -> None:
        self._session = Session(self._libraries, self._namespace, self._options)

    def _close(self) -> None:
        self._executor.shutdown()
        self._copier.shutdown()
        session, self._session = self._session, None
        if session is not None:
            session.close()
