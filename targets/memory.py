"""The reference implementation: objects in a dict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from targets.base import UNLIMITED_BYTES, Body, Capabilities, ObjectInfo, flat_view, range_end
from targets.errors import ObjectExists, ObjectNotFound
from targets.keys import validate_key, validate_prefix


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """There is nothing to choose."""


class MemoryTarget:
    """A target that ends with its process; every operation lets other tasks run once, as a real one would."""

    capabilities = Capabilities(name="memory", conditional_put=True, object_size_bytes_max=UNLIMITED_BYTES)

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        validate_key(key)
        await asyncio.sleep(0)
        if if_absent and key in self._objects:
            raise ObjectExists(f"{key} exists already")
        self._objects[key] = bytes(body)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        stored = await self._object(key)
        return stored[offset : range_end(key, len(stored), offset=offset, length=length)]

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        stored = await self._object(key)
        with flat_view(buffer) as room:
            room[:] = stored[offset : range_end(key, len(stored), offset=offset, length=room.nbytes)]

    async def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(await self._object(key)))

    async def delete(self, key: str) -> None:
        validate_key(key)
        await asyncio.sleep(0)
        self._objects.pop(key, None)

    async def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            validate_key(key)
        await asyncio.sleep(0)
        for key in keys:
            self._objects.pop(key, None)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        validate_prefix(prefix)
        await asyncio.sleep(0)
        for key in [key for key in self._objects if key.startswith(prefix)]:
            if (stored := self._objects.get(key)) is not None:
                yield ObjectInfo(key, len(stored))

    async def aclose(self) -> None:
        """Keep the objects: there is nothing to release."""

    async def _object(self, key: str) -> bytes:
        validate_key(key)
        await asyncio.sleep(0)
        if (stored := self._objects.get(key)) is None:
            raise ObjectNotFound(f"{key} does not exist")
        return stored
