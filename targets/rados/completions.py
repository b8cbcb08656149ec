"""From the threads of librados to the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

# What the binding calls in a thread of librados: with the completion, and with what was asked for.
Completed = Callable[..., None]
# Sends a request that calls back when it has ended; raises an error of the binding if it was refused.
Submit = Callable[[Completed], object]
# What is to become, in a thread of librados, of the result and of what was found; what it returns counts as found.
Take = Callable[[int, Any], Any]


class Ending(asyncio.Future[T]):
    """A future that cannot be cancelled, as what it stands for cannot be stopped.

    A task that is cancelled while it awaits this is cancelled when it has ended, and not before.
    """

    def cancel(self, msg: object = None) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Outcome:
    """``result``: 0 or more, or a negative errno; ``found``: what was asked for, if it was found."""

    result: int
    found: Any = None


class Completions:
    """Futures of requests that librados carries out. No thread waits for any of them."""

    def __init__(self, refused: type[Exception]) -> None:
        self._refused = refused
        self._pending: set[Ending[Outcome]] = set()

    def expect(self) -> Ending[Outcome]:
        """Return the outcome to come of a request that is about to be submitted."""
        ending: Ending[Outcome] = Ending(loop=asyncio.get_running_loop())
        self._pending.add(ending)
        ending.add_done_callback(self._pending.discard)
        return ending

    def submit(self, ending: Ending[Outcome], submit: Submit, take: Take | None = None) -> None:
        """Submit the request. May run in any thread; what goes wrong is the outcome."""
        loop = ending.get_loop()

        def completed(completion: Any, found: Any = None, *_: object) -> None:
            result = completion.get_return_value()
            with suppress(RuntimeError):  # The loop was closed without waiting for us; nobody wants to know.
                try:
                    outcome = Outcome(result, found if take is None else take(result, found))
                except Exception as error:  # noqa: BLE001 - whatever it is, who waits must get it
                    loop.call_soon_threadsafe(ending.set_exception, error)
                else:
                    loop.call_soon_threadsafe(ending.set_result, outcome)

        try:
            submit(completed)
        except self._refused as error:  # Before it was sent, so nothing will call back.
            loop.call_soon_threadsafe(ending.set_result, Outcome(-error.errno))  # type: ignore[attr-defined] # rados.OSError has it
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits must get it
            loop.call_soon_threadsafe(ending.set_exception, error)

    async def settled(self) -> None:
        """Return when all that was started has ended; the time-out of each request bounds it."""
        await all_of([*self._pending])


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
