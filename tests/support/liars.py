"""Stores that break the contract of a target, each in one way, as stores in the world do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from targets.base import Body, Capabilities, ObjectInfo
from targets.errors import ObjectExists, ObjectNotFound, PermissionDenied, QuotaExceeded, TargetReadOnly, Unsupported
from targets.memory import MemoryTarget


def _now_s() -> float:
    return asyncio.get_running_loop().time()


class IgnoresIfAbsent(MemoryTarget):
    """Overwrites, whatever the condition."""

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        await super().put(key, body)


class LooksFirst(MemoryTarget):
    """Looks whether the key is free and writes a moment later."""

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        if if_absent and key in self._objects:
            raise ObjectExists(key)
        await asyncio.sleep(0.01)
        await super().put(key, body)


class RefusesAndOverwrites(MemoryTarget):
    """Says that the key is taken, and takes it."""

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        was_taken = key in self._objects
        await super().put(key, body)
        if if_absent and was_taken:
            raise ObjectExists(key)


class WithoutConditionalPut(MemoryTarget):
    """No liar: it cannot tell, and says so."""

    capabilities = Capabilities(
        name="plain", conditional_put=False, object_size_bytes_max=MemoryTarget.capabilities.object_size_bytes_max
    )

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        if if_absent:
            raise Unsupported(f"{key}: no conditional put")
        await super().put(key, body)


class ImitatesConditionalPut(WithoutConditionalPut):
    """Says that it cannot tell, and does not mind being asked."""

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        await super().put(key, body)


class ListsLate(MemoryTarget):
    """A listing shows what was there ``late_s`` ago."""

    def __init__(self, late_s: float) -> None:
        super().__init__()
        self._late_s = late_s
        self._events: list[tuple[float, str, int | None]] = []

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        await super().put(key, body, if_absent=if_absent)
        self._events.append((_now_s(), key, memoryview(body).nbytes))

    async def delete(self, key: str) -> None:
        await super().delete(key)
        self._events.append((_now_s(), key, None))

    async def delete_many(self, keys: Sequence[str]) -> None:
        await super().delete_many(keys)
        self._events += [(_now_s(), key, None) for key in keys]

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        await asyncio.sleep(0)
        shown: dict[str, int] = {}
        for happened_s, key, size_bytes in self._events:
            if happened_s > _now_s() - self._late_s or not key.startswith(prefix):
                continue
            shown.pop(key, None)
            if size_bytes is not None:
                shown[key] = size_bytes
        for key, size in shown.items():
            yield ObjectInfo(key, size)


class ReadsLate(MemoryTarget):
    """A new object, also one in the place of another, is read ``late_s`` after it was stored."""

    def __init__(self, late_s: float) -> None:
        super().__init__()
        self._late_s = late_s
        self._stored_s: dict[str, float] = {}
        self._before: dict[str, bytes | None] = {}

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        before = self._objects.get(key)
        await super().put(key, body, if_absent=if_absent)
        self._stored_s[key], self._before[key] = _now_s(), before

    async def _object(self, key: str) -> bytes:
        stored = await super()._object(key)
        if _now_s() >= self._stored_s[key] + self._late_s:
            return stored
        if (before := self._before[key]) is None:
            raise ObjectNotFound(key)
        return before


class LateReplica(MemoryTarget):
    """Another way to the objects of ``primary``; one is seen ``late_s`` after it was first asked for."""

    def __init__(self, primary: MemoryTarget, late_s: float) -> None:
        super().__init__()
        self._objects = primary._objects
        self._late_s = late_s
        self._asked_s: dict[str, float] = {}

    async def _object(self, key: str) -> bytes:
        if _now_s() < self._asked_s.setdefault(key, _now_s()) + self._late_s:
            raise ObjectNotFound(key)
        return await super()._object(key)


class WritesInPlace(MemoryTarget):
    """An object grows under its name."""

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        with memoryview(body) as view:
            for part in range(1, 5):
                await super().put(key, view[: view.nbytes * part // 4], if_absent=if_absent and part == 1)
                await asyncio.sleep(0.01)


class KeepsTornUploads(MemoryTarget):
    """What was sent until an upload broke off becomes the object, a moment later."""

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            half = bytes(body)[: memoryview(body).nbytes // 2]
            asyncio.get_running_loop().call_later(0.5, self._objects.__setitem__, key, half)
            raise
        await super().put(key, body, if_absent=if_absent)


class ShortRanges(MemoryTarget):
    """A range lacks its last byte."""

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        found = await super().get(key, offset=offset, length=length)
        return found if length is None else found[:-1]


class LenientRanges(MemoryTarget):
    """A range past the end gives what there is."""

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        stored = await self._object(key)
        return stored[offset:] if length is None else stored[offset : offset + length]


class WrongHead(MemoryTarget):
    """The head tells the size on the disk."""

    async def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, -(-(await super().head(key)).size_bytes // 4096) * 4096)


class GarblesOddSizes(MemoryTarget):
    """One bit is wrong in objects that end one byte behind a block."""

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        await super().put(key, body, if_absent=if_absent)
        if len(stored := self._objects[key]) % 4096 == 1 and len(stored) > 1:
            self._objects[key] = stored[:-1] + bytes([stored[-1] ^ 1])


class ListsOnePage(MemoryTarget):
    """A listing ends after ten objects."""

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        given = 0
        async for info in super().list(prefix):
            if given == 10:
                return
            given += 1
            yield info


class ListsBesideThePrefix(MemoryTarget):
    """The slash at the end of a prefix is not looked at."""

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        async for info in super().list(prefix.removesuffix("/")):
            yield info


class DeletesNothing(MemoryTarget):
    """Deleting succeeds, and nothing is gone."""

    async def delete(self, key: str) -> None:
        await asyncio.sleep(0)

    async def delete_many(self, keys: Sequence[str]) -> None:
        await asyncio.sleep(0)


class DeletesHalfOfMany(MemoryTarget):
    """Of many that are deleted at once every second one stays."""

    async def delete_many(self, keys: Sequence[str]) -> None:
        await super().delete_many(keys[::2] if len(keys) > 1 else keys)


class MayNotDelete(MemoryTarget):
    """The credentials allow no delete."""

    async def delete(self, key: str) -> None:
        raise PermissionDenied(f"delete {key}: 403")

    async def delete_many(self, keys: Sequence[str]) -> None:
        raise PermissionDenied("delete: 403")


class ReadOnly(MayNotDelete):
    """Nothing may be written."""

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        raise TargetReadOnly(f"put {key}: read-only")


class FullDisk(MemoryTarget):
    """No space is left."""

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        raise QuotaExceeded(f"put {key}: no space left")
