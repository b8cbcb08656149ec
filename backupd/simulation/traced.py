"""A wrapper that tells a run's trace what a target was asked, and what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import TypeVar

from backupd.simulation.trace import Trace
from targets.base import Body, ObjectInfo, Target
from targets.errors import TargetError

T = TypeVar("T")


class Traced:
    """Passes everything on. ``who`` asks."""

    def __init__(self, inner: Target, trace: Trace, who: str) -> None:
        self._inner = inner
        self._trace = trace
        self._who = who
        self.capabilities = inner.capabilities

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        await self._told(f"put {key}", self._inner.put(key, body, if_absent=if_absent))

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        return await self._told(f"get {key} {offset}", self._inner.get(key, offset=offset, length=length))

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        await self._told(f"get {key} {offset}", self._inner.get_into(key, buffer, offset=offset))

    async def head(self, key: str) -> ObjectInfo:
        return await self._told(f"head {key}", self._inner.head(key))

    async def delete(self, key: str) -> None:
        await self._told(f"delete {key}", self._inner.delete(key))

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._told(f"delete {len(keys)} keys", self._inner.delete_many(keys))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        self._trace.note(f"{self._who}: list {prefix}")
        async for info in self._inner.list(prefix):
            yield info

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _told(self, what: str, asking: Awaitable[T]) -> T:
        try:
            answer = await asking
        except TargetError as error:
            self._trace.note(f"{self._who}: {what}: {error}")
            raise
        self._trace.note(f"{self._who}: {what}")
        return answer
