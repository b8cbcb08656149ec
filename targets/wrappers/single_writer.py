"""A conditional put for stores that have none, as long as one process alone writes to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from targets.base import Body, ObjectInfo, Target, exists
from targets.errors import ObjectExists


class SingleWriter:
    """Looks first and writes then, one writer of a key at a time: right only if nobody else writes there.

    That is for the operator to promise; nothing here can check it. Where the store can do it itself, as far as
    one knows, it is left to it: ``looks_first`` may be set by who has found out. An answer that came too late may have
    stored the object all the same, as with every put.
    """

    def __init__(self, inner: Target) -> None:
        self._inner = inner
        self.looks_first = not inner.capabilities.conditional_put
        self._writing: dict[str, _Turn] = {}
        self.capabilities = replace(inner.capabilities, conditional_put=True)

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        if not self.looks_first:
            await self._inner.put(key, body, if_absent=if_absent)
            return
        async with self._turn(key):
            if if_absent and await exists(self._inner, key):
                raise ObjectExists(f"{key} exists already")
            await self._inner.put(key, body)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        return await self._inner.get(key, offset=offset, length=length)

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        await self._inner.get_into(key, buffer, offset=offset)

    async def head(self, key: str) -> ObjectInfo:
        return await self._inner.head(key)

    async def delete(self, key: str) -> None:
        await self._inner.delete(key)

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._inner.delete_many(keys)

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        return self._inner.list(prefix)

    async def aclose(self) -> None:
        await self._inner.aclose()

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncIterator[None]:
        """Wait for this key's turn; what nobody waits for any more is forgotten."""
        turn = self._writing.setdefault(key, _Turn())
        turn.waiting += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                del self._writing[key]


class _Turn:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0
