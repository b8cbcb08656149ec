"""A target inside a target."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from targets.base import Body, ObjectInfo, Target, closing
from targets.keys import validate_key, validate_prefix


class Prefix:
    """Sees only the objects below ``prefix``, by the rest of their keys. InvalidKey for an illegal prefix."""

    def __init__(self, inner: Target, prefix: str) -> None:
        self._inner = inner
        self._path = f"{prefix.removesuffix('/')}/"
        validate_key(self._path[:-1])
        self.capabilities = inner.capabilities

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        await self._inner.put(self._scoped(key), body, if_absent=if_absent)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        return await self._inner.get(self._scoped(key), offset=offset, length=length)

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        await self._inner.get_into(self._scoped(key), buffer, offset=offset)

    async def head(self, key: str) -> ObjectInfo:
        return self._seen(await self._inner.head(self._scoped(key)))

    async def delete(self, key: str) -> None:
        await self._inner.delete(self._scoped(key))

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._inner.delete_many([self._scoped(key) for key in keys])

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        validate_prefix(prefix)
        async with closing(self._inner.list(self._path + prefix)) as found:
            async for info in found:
                yield self._seen(info)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _scoped(self, key: str) -> str:
        validate_key(key)  # Before it is joined: the refusal names what the caller passed.
        return self._path + key

    def _seen(self, info: ObjectInfo) -> ObjectInfo:
        return ObjectInfo(info.key.removeprefix(self._path), info.size_bytes)
