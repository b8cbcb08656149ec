"""What a daemon hangs on: cut it, and the daemon is dead in the middle of whatever it was doing.

Its tasks are not cancelled, because a process that dies cleans nothing up; they just never hear an answer
again. A pause is the same for a while, as when a virtual machine is suspended: afterwards the daemon goes on
without knowing that its leases are long gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine

from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.pipeline.workers import Workers
from targets.base import Body, ObjectInfo, Target

P = ParamSpec("P")
T = TypeVar("T")


class Died(Exception):
    """Raised in the tasks of a dead daemon once the run is over, so that they end."""


class Lifeline:
    """Everything that a daemon asks of the world waits here while it is not alive."""

    def __init__(self) -> None:
        self._going = asyncio.Event()
        self._going.set()
        self._is_buried = False
        self._steps_left: int | None = None
        self._last_words: str | None = None

    def cut(self) -> None:
        self._going.clear()

    def cut_after(self, steps: int) -> None:
        """Cut it when the daemon has asked, or heard, that often: at any await that there is."""
        self._steps_left = steps

    def cut_after_put(self, part: str) -> None:
        """Cut it when the daemon has stored an object with ``part`` in its key, and has not heard of it yet."""
        self._last_words = part

    def stored(self, key: str) -> None:
        if self._last_words is not None and self._last_words in key:
            self._last_words = None
            self.cut()

    def resume(self) -> None:
        self._steps_left = None
        self._going.set()

    def bury(self) -> None:
        self._steps_left = None
        self._is_buried = True
        self._going.set()

    async def hold(self) -> None:
        if self._steps_left is not None:
            self._steps_left -= 1
            if self._steps_left <= 0:
                self._steps_left = None
                self.cut()
        await self._going.wait()
        if self._is_buried:
            raise Died


class LivingCatalog(Catalog):
    """A catalog whose answers may never arrive."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        super().__init__(engine, clock)
        self.lifeline = Lifeline()

    async def _transaction(self, engine: Engine, executor: Executor, work: Callable[[Connection], T]) -> T:
        await self.lifeline.hold()
        result = await super()._transaction(engine, executor, work)
        await self.lifeline.hold()
        return result


class LivingWorkers(Workers):
    """Threads that begin nothing after the end. Encoding, which changes nothing in the world, is not held."""

    def __init__(self, thread_count: int, lifeline: Lifeline) -> None:
        super().__init__(thread_count)
        self._lifeline = lifeline

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        await self._lifeline.hold()
        result = await super().run(work, *args, **kwargs)
        await self._lifeline.hold()
        return result

    async def opened(self, make: Callable[[], T], let_go: Callable[[T], object]) -> T:
        await self._lifeline.hold()
        made = await super().opened(make, let_go)
        await self._lifeline.hold()
        return made


class LivingTarget:
    """A target whose answers may never arrive; what it was asked to do is done all the same."""

    def __init__(self, inner: Target, lifeline: Lifeline) -> None:
        self._inner = inner
        self._lifeline = lifeline
        self.capabilities = inner.capabilities

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        await self._lifeline.hold()
        await self._inner.put(key, body, if_absent=if_absent)
        self._lifeline.stored(key)
        await self._lifeline.hold()

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        stored: bytes = await self._held(self._inner.get, key, offset=offset, length=length)
        return stored

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        await self._held(self._inner.get_into, key, buffer, offset=offset)

    async def head(self, key: str) -> ObjectInfo:
        info: ObjectInfo = await self._held(self._inner.head, key)
        return info

    async def delete(self, key: str) -> None:
        await self._held(self._inner.delete, key)

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._held(self._inner.delete_many, keys)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        async for info in self._inner.list(prefix):
            await self._lifeline.hold()
            yield info

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _held(self, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        await self._lifeline.hold()
        result = await operation(*args, **kwargs)
        await self._lifeline.hold()
        return result
