"""Limits on what a target is asked to do: operations at a time and bytes per second."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress

from targets.base import Body, ObjectInfo, Target, closing
from targets.errors import Misconfigured

_BURST_S = 1.0
_WAIT_S_MIN = 1e-6  # Less is rounding; nothing is lost by it, as totals are compared.
_SLEEP_S_MAX = 1.0  # How long a new rate may go unnoticed by those who wait.


class Limit:
    """Lets ``operations_max`` run at a time and ``bytes_per_s`` through (0: any), in order of arrival.

    Both may be changed at any time, also for those who wait. Misconfigured for a value that makes no sense.
    """

    def __init__(
        self,
        inner: Target,
        *,
        operations_max: int,
        monotonic: Callable[[], float],
        bytes_per_s: int = 0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._inner = inner
        self._slots = _Slots()
        self._rate = _Rate(monotonic, sleep)
        self.operations_max = operations_max
        self.bytes_per_s = bytes_per_s
        self.capabilities = inner.capabilities

    @property
    def operations_max(self) -> int:
        """How many operations may run at a time."""
        return self._slots.slots_max

    @operations_max.setter
    def operations_max(self, value: int) -> None:
        if value < 1:
            raise Misconfigured(f"option operations_max: {value}, expected 1 or more")
        self._slots.resize(value)

    @property
    def bytes_per_s(self) -> int:
        """How many bytes of objects may be moved in a second, both ways together; 0: no limit."""
        return self._rate.bytes_per_s

    @bytes_per_s.setter
    def bytes_per_s(self, value: int) -> None:
        if value < 0:
            raise Misconfigured(f"option bytes_per_s: {value}, expected 0 (no limit) or more")
        self._rate.change(value)

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        await self._rate.spend(memoryview(body).nbytes)
        async with self._slots:
            await self._inner.put(key, body, if_absent=if_absent)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        await self._rate.spend(length or 0)
        async with self._slots:
            stored = await self._inner.get(key, offset=offset, length=length)
        if length is None:
            await self._rate.spend(len(stored))  # Known only now.
        return stored

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        await self._rate.spend(memoryview(buffer).nbytes)
        async with self._slots:
            await self._inner.get_into(key, buffer, offset=offset)

    async def head(self, key: str) -> ObjectInfo:
        async with self._slots:
            return await self._inner.head(key)

    async def delete(self, key: str) -> None:
        async with self._slots:
            await self._inner.delete(key)

    async def delete_many(self, keys: Sequence[str]) -> None:
        async with self._slots:
            await self._inner.delete_many(keys)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        async with closing(self._inner.list(prefix)) as found:
            while True:
                async with self._slots:  # Not over the yield: the reader may need a slot before it goes on.
                    info = await anext(found, None)
                if info is None:
                    return
                yield info

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Slots:
    """A semaphore whose size can change."""

    def __init__(self) -> None:
        self.slots_max = 0
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def resize(self, slots_max: int) -> None:
        self.slots_max = slots_max
        self._hand_out()

    async def __aenter__(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):  # It may have been passed over already.
                    self._waiting.remove(turn)
            else:
                self._give_back()  # The slot came together with the cancellation.
            raise

    async def __aexit__(self, *_exception: object) -> None:
        self._give_back()

    def _give_back(self) -> None:
        self._taken -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self._taken < self.slots_max:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)


class _Rate:
    """A bucket that fills at ``bytes_per_s`` and holds one second's worth.

    Everybody adds to a running total and waits until the total that was allowed has reached theirs; so the
    order is kept, and one piece may be larger than the bucket.
    """

    def __init__(self, monotonic: Callable[[], float], sleep: Callable[[float], Awaitable[object]]) -> None:
        self.bytes_per_s = 0
        self._monotonic = monotonic
        self._sleep = sleep
        self._seen_s = monotonic()
        self._spent_bytes = 0.0
        self._allowed_bytes = 0.0

    def change(self, bytes_per_s: int) -> None:
        self._fill()
        self.bytes_per_s = bytes_per_s

    async def spend(self, count: int) -> None:
        self._fill()
        self._spent_bytes += count
        mine_bytes = self._spent_bytes
        while (wait_s := self._wait_s(mine_bytes)) > _WAIT_S_MIN:
            await self._sleep(min(wait_s, _SLEEP_S_MAX))
            self._fill()

    def _wait_s(self, total_bytes: float) -> float:
        return (total_bytes - self._allowed_bytes) / self.bytes_per_s if self.bytes_per_s else 0.0

    def _fill(self) -> None:
        now_s = self._monotonic()
        earned_bytes = (now_s - self._seen_s) * self.bytes_per_s
        self._seen_s = now_s
        if self.bytes_per_s:
            full_bytes = self._spent_bytes + self.bytes_per_s * _BURST_S
            self._allowed_bytes = min(self._allowed_bytes + earned_bytes, full_bytes)
        else:
            self._allowed_bytes = self._spent_bytes
