"""From the threads of librados to the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from targets.rados.librados import COMPLETED

T = TypeVar("T")

# Sends a request that calls the completion back, and returns 0 or a negative errno. It holds the memory that
# librados writes to, and is held until the request has ended, whatever becomes of who asked for it.
Submit = Callable[[ctypes.c_void_p], int]


class Ending(asyncio.Future[T]):
    """A future that cannot be cancelled, as what it stands for cannot be stopped.

    A task that is cancelled while it awaits this is cancelled when it has ended, and not before.
    """

    def cancel(self, msg: object = None) -> bool:
        return False


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
        self._pending: dict[int, tuple[Ending[Outcome], Submit]] = {}

    def expect(self, ending: Ending[Outcome], submit: Submit) -> int:
        """Return the token of a request that is about to be submitted."""
        token = next(self._tokens)
        self._pending[token] = ending, submit
        return token

    def submit(self, token: int) -> None:
        """Submit the request with a new completion. May run in any thread; what it raises is the outcome."""
        completion = ctypes.c_void_p()
        submit = self._pending[token][1]
        try:
            self._library.rados_aio_create_completion2(token, self._callback, ctypes.byref(completion))
            result = submit(completion)
        except BaseException as error:
            ending, _ = self._pending.pop(token)
            ending.get_loop().call_soon_threadsafe(ending.set_exception, error)
            raise
        if result < 0:  # Refused before it was sent, so nothing will call back.
            self._library.rados_aio_release(completion)
            self._end(token, Outcome(result, 0))

    async def settled(self) -> None:
        """Return when all that was started has ended; the time-out of each request bounds it."""
        await all_of([ending for ending, _ in [*self._pending.values()]])

    def _completed(self, completion: int, token: int) -> None:
        library = self._library
        outcome = Outcome(library.rados_aio_get_return_value(completion), library.rados_aio_get_version(completion))
        library.rados_aio_release(completion)
        self._end(token, outcome)

    def _end(self, token: int, outcome: Outcome) -> None:
        ending, _ = self._pending.pop(token)
        with suppress(RuntimeError):  # The loop was closed without waiting for us; nobody wants to know.
            ending.get_loop().call_soon_threadsafe(ending.set_result, outcome)


async def all_of(endings: Sequence[Ending[T]]) -> list[T]:
    """Return all results when all have ended."""
    left = len(endings)
    gate: Ending[None] = Ending(loop=asyncio.get_running_loop())

    def count(_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            gate.set_result(None)

    for ending in endings:
        ending.add_done_callback(count)
    if endings:
        await gate
    return [ending.result() for ending in endings]


async def done(work: Future[T]) -> T:
    """Return the result of what a thread does."""
    loop = asyncio.get_running_loop()
    gate: Ending[None] = Ending(loop=loop)
    work.add_done_callback(lambda _: loop.call_soon_threadsafe(gate.set_result, None))
    await gate
    return work.result()
