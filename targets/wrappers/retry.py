"""Trying again: the only place that retries, and the one deadline of an operation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from random import Random
from typing import TypeVar

from targets.base import Body, ObjectInfo, Target, closing, flat_view
from targets.errors import Misconfigured, ObjectExists, ObjectNotFound, Retryable, TimedOut

T = TypeVar("T")


class Retry:
    """Repeats what failed with a Retryable, up to ``retries_max`` times.

    Each attempt has ``timeout_s`` (TimedOut, which is Retryable). Before retry n it waits a random time up to
    ``delay_s`` times 2 to the n, at most ``delay_max_s``: clients that failed together do not come back
    together. What is raised in the end is the last error, with a note. Misconfigured for a negative number.
    """

    def __init__(
        self,
        inner: Target,
        *,
        retries_max: int,
        timeout_s: float,
        delay_s: float = 0.2,
        delay_max_s: float = 20.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        for name, value in (("retries_max", retries_max), ("delay_s", delay_s), ("delay_max_s", delay_max_s)):
            if value < 0:
                raise Misconfigured(f"option {name}: {value}, expected 0 or more")
        if timeout_s <= 0:
            raise Misconfigured(f"option timeout_s: {timeout_s}, expected more than 0")
        self._inner = inner
        self._retries_max = retries_max
        self._timeout_s = timeout_s
        self._delay_s = delay_s
        self._delay_max_s = delay_max_s
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311 - spreads clients over time, protects nothing
        self.capabilities = inner.capabilities

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        attempts = 0

        async def attempt() -> None:
            nonlocal attempts
            attempts += 1
            await self._inner.put(key, body, if_absent=if_absent)

        try:
            await self._repeat(f"put {key}", attempt)
        except ObjectExists:
            # After a lost response the object that is in the way may be our own.
            if attempts == 1 or not await self._holds(key, body):
                raise

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        return await self._repeat(f"get {key}", lambda: self._inner.get(key, offset=offset, length=length))

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        await self._repeat(f"get {key}", lambda: self._inner.get_into(key, buffer, offset=offset))

    async def head(self, key: str) -> ObjectInfo:
        return await self._repeat(f"head {key}", lambda: self._inner.head(key))

    async def delete(self, key: str) -> None:
        await self._repeat(f"delete {key}", lambda: self._inner.delete(key))

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._repeat(f"delete {len(keys)} keys", lambda: self._inner.delete_many(keys))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Start again where a listing broke off, skipping what was given already.

        No order is promised, so the keys given so far are kept: list by prefixes of bounded size. The retries
        count from the last object that was new, so a long listing does not use them up.
        """
        given: set[str] = set()
        retries = 0
        while True:
            try:
                async with closing(self._inner.list(prefix)) as found:
                    while (info := await self._timed(f"list {prefix}", partial(_next, found))) is not None:
                        if info.key not in given:
                            given.add(info.key)
                            retries = 0
                            yield info
                return
            except Retryable as error:
                await self._wait(error, retries)
                retries += 1

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _repeat(self, doing: str, attempt: Callable[[], Awaitable[T]]) -> T:
        retries = 0
        while True:
            try:
                return await self._timed(doing, attempt)
            except Retryable as error:
                await self._wait(error, retries)
                retries += 1

    async def _timed(self, doing: str, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s) as deadline:
                return await attempt()
        except TimeoutError as error:
            if not deadline.expired():
                raise  # Not ours: a driver let one of its own through.
            raise TimedOut(f"{doing}: no answer within {self._timeout_s} s") from error

    async def _wait(self, error: Retryable, retries: int) -> None:
        """Sleep before the next attempt; raise the error when there is none."""
        if retries >= self._retries_max:
            error.add_note(f"gave up after {retries + 1} attempts")
            raise error
        ceiling_s = min(self._delay_max_s, self._delay_s * 2.0 ** min(retries, 64))
        await self._sleep(self._random.uniform(0, ceiling_s))

    async def _holds(self, key: str, body: Body) -> bool:
        with flat_view(body) as view:
            try:  # The size first: another object may be far larger than ours.
                return (await self.head(key)).size_bytes == view.nbytes and await self.get(key) == view
            except ObjectNotFound:
                return False


async def _next(found: AsyncIterator[ObjectInfo]) -> ObjectInfo | None:
    return await anext(found, None)
