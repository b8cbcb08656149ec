"""What can go wrong with a target, on purpose: for tests of everything above it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from targets.base import Body, ObjectInfo, Target, closing, flat_view
from targets.errors import TargetError, Unavailable


class Effect(StrEnum):
    """What goes wrong. Only TORN_PUT, BIT_FLIP and STALE_LIST break the contract of a target."""

    ERROR = "error"  # nothing is done (a listing: after ``after_objects``), then the error
    LOST_RESPONSE = "lost_response"  # all is done, then the error
    LATENCY = "latency"  # ``latency_s`` pass first
    HANG = "hang"  # nothing is done until the caller gives up
    TORN_PUT = "torn_put"  # the first half of the object is stored, then the error
    BIT_FLIP = "bit_flip"  # one bit of what is read is wrong
    STALE_LIST = "stale_list"  # a listing misses what was put, and shows what was deleted, through this wrapper


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong, and when: at the calls for which all that is given here holds.

    ``at_call`` counts, from 1, the calls for which ``operation`` and ``matches`` hold; ``probability`` is
    drawn for each of these.
    """

    effect: Effect = Effect.ERROR
    operation: str | None = None
    matches: Callable[[str, str], bool] | None = None
    at_call: int | None = None
    probability: float = 1.0
    error: type[TargetError] = Unavailable
    latency_s: float = 0.0
    after_objects: int = 0


class Faults:
    """Applies ``faults`` to each call; ``calls`` tells (operation, key) of every one so far.

    What is drawn depends on the seed and on how often a key was asked the same before, not on the order in
    which tasks and threads happen to run.
    """

    def __init__(
        self,
        inner: Target,
        faults: Sequence[Fault],
        *,
        seed: int = 0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._inner = inner
        self._faults = faults
        self._seed = seed
        self._sleep = sleep
        self._matched: Counter[int] = Counter()
        self._asked: Counter[tuple[str, str]] = Counter()
        self._put: dict[str, ObjectInfo] = {}
        self._deleted: dict[str, ObjectInfo] = {}
        self.calls: list[tuple[str, str]] = []
        self.capabilities = inner.capabilities

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        call = await self._begin("put", key)
        with flat_view(body) as view:
            if call.has(Effect.TORN_PUT):
                await self._inner.put(key, view[: view.nbytes // 2], if_absent=if_absent)
                call.fail(Effect.TORN_PUT)
            await self._inner.put(key, view, if_absent=if_absent)
            self._put[key] = ObjectInfo(key, view.nbytes)
        self._deleted.pop(key, None)
        call.fail(Effect.LOST_RESPONSE)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        call = await self._begin("get", key)
        stored = bytearray(await self._inner.get(key, offset=offset, length=length))
        call.garble(stored)
        call.fail(Effect.LOST_RESPONSE)
        return bytes(stored)

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        call = await self._begin("get", key)
        await self._inner.get_into(key, buffer, offset=offset)
        call.garble(buffer)
        call.fail(Effect.LOST_RESPONSE)

    async def head(self, key: str) -> ObjectInfo:
        call = await self._begin("head", key)
        info = await self._inner.head(key)
        call.fail(Effect.LOST_RESPONSE)
        return info

    async def delete(self, key: str) -> None:
        call = await self._begin("delete", key)
        await self._inner.delete(key)
        if (info := self._put.pop(key, None)) is not None:
            self._deleted[key] = info
        call.fail(Effect.LOST_RESPONSE)

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete only the first half when the response is lost: the rest was still to come."""
        call = await self._begin("delete_many", keys[0] if keys else "")
        deleted = keys[: len(keys) // 2] if call.has(Effect.LOST_RESPONSE) else keys
        await self._inner.delete_many(deleted)
        for key in deleted:
            if (info := self._put.pop(key, None)) is not None:
                self._deleted[key] = info
        call.fail(Effect.LOST_RESPONSE)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        call = await self._begin("list", prefix)
        count = 0
        async with closing(self._listed(prefix, is_stale=call.has(Effect.STALE_LIST))) as found:
            async for info in found:
                call.fail(Effect.ERROR, after_objects=count)
                yield info
                count += 1
        call.fail(Effect.ERROR)
        call.fail(Effect.LOST_RESPONSE)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _listed(self, prefix: str, *, is_stale: bool) -> AsyncIterator[ObjectInfo]:
        async with closing(self._inner.list(prefix)) as found:
            async for info in found:
                if not (is_stale and info.key in self._put):
                    yield info
        for info in [*self._deleted.values()] if is_stale else []:
            if info.key.startswith(prefix):
                yield info

    async def _begin(self, operation: str, key: str) -> _Call:
        self.calls.append((operation, key))
        call = _Call(operation, key, *self._drawn(operation, key))
        for fault in call.faults:
            if fault.effect is Effect.LATENCY:
                await self._sleep(fault.latency_s)
            elif fault.effect is Effect.HANG:
                await asyncio.Event().wait()
        call.fail(Effect.ERROR, after_objects=0 if operation == "list" else None)
        return call

    def _drawn(self, operation: str, key: str) -> tuple[Sequence[Fault], Random]:
        self._asked[operation, key] += 1
        random = Random(f"{self._seed} {operation} {key!a} {self._asked[operation, key]}")  # noqa: S311 - replayable
        drawn = []
        for number, fault in enumerate(self._faults):
            chance = random.random()  # Drawn for each fault, so that those of one do not depend on another.
            if fault.operation not in (None, operation) or (fault.matches and not fault.matches(operation, key)):
                continue
            self._matched[number] += 1
            if fault.at_call in (None, self._matched[number]) and chance < fault.probability:
                drawn.append(fault)
        return drawn, random


@dataclass(frozen=True, slots=True)
class _Call:
    """One call and what goes wrong with it."""

    operation: str
    key: str
    faults: Sequence[Fault]
    random: Random

    def has(self, effect: Effect) -> bool:
        return any(fault.effect is effect for fault in self.faults)

    def fail(self, effect: Effect, *, after_objects: int | None = None) -> None:
        for fault in self.faults:
            if fault.effect is effect and after_objects in (None, fault.after_objects):
                raise fault.error(f"{self.operation} {self.key}: injected fault ({effect})")

    def garble(self, buffer: bytearray | memoryview) -> None:
        with flat_view(buffer) as view:
            if self.has(Effect.BIT_FLIP) and view.nbytes:
                view[self.random.randrange(view.nbytes)] ^= 1 << self.random.randrange(8)
