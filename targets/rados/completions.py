"""From the threads of librados to the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from targets.rados.librados import COMPLETED

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """``result``: 0 or more, or a negative errno; ``version``: of the object that the request met."""

    result: int
    version: int


class Completions:
    """Futures of requests that librados carries out. No thread waits for any of them."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._callback = COMPLETED(self._completed)  # librados has its address: it lives as long as this.
        self._tokens = itertools.count(1)  # 0 would arrive as None.
        self._pending: dict[int, asyncio.Future[Outcome]] = {}

    def expect(self, future: asyncio.Future[Outcome]) -> int:
        """Return the token of a request that is about to be submitted; ``future`` gets its outcome."""
        token = next(self._tokens)
        self._pending[token] = future
        return token

    def submit(self, token: int, submit: Callable[[ctypes.c_void_p], int]) -> None:
        """Submit the request with a new completion. May run in any thread; what it raises is the outcome."""
        completion = ctypes.c_void_p()
        try:
            self._library.rados_aio_create_completion2(token, self._callback, ctypes.byref(completion))
            result = submit(completion)
        except BaseException as error:
            future = self._pending.pop(token)
            future.get_loop().call_soon_threadsafe(future.set_exception, error)
            raise
        if result < 0:  # Refused before it was sent, so nothing will call back.
            self._library.rados_aio_release(completion)
            self._end(token, Outcome(result, 0))

    async def settled(self) -> None:
        """Return when all that was started has ended; the time-out of each request bounds it."""
        while self._pending:
            await ended(*self._pending.values())
            await asyncio.sleep(0)

    def _completed(self, completion: int, token: int) -> None:
        outcome = Outcome(
            self._library.rados_aio_get_return_value(completion), self._library.rados_aio_get_version(completion)
        )
        self._library.rados_aio_release(completion)
        self._end(token, outcome)

    def _end(self, token: int, outcome: Outcome) -> None:
        future = self._pending.pop(token)
        with suppress(RuntimeError):  # The loop was closed without waiting for us; nobody wants to know.
            future.get_loop().call_soon_threadsafe(future.set_result, outcome)


async def ended(*futures: asyncio.Future[T]) -> None:
    """Return when all have a result. If cancelled, still wait: what was sent cannot be withdrawn."""
    cancellation: asyncio.CancelledError | None = None
    while pending := [future for future in futures if not future.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancellation = cancellation or error  # Raised when they have ended, and not before.
    if cancellation is not None:
        raise cancellation
