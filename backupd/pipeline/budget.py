"""The byte budget of a job: all its large buffers, so that memory is bounded whatever the volume's size."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from backupd.pipeline.memory import pages


class ByteBudget:
    """Lends page-aligned buffers whose sizes together never exceed ``limit_bytes``.

    Buffers are used again, because the page faults of fresh memory cost more than the encryption of what is
    put in it (docs/design/003-buffers.md). Waiters are served in order.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.used_bytes_max = 0
        self._idle: dict[int, list[memoryview]] = {}
        self._idle_bytes = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def acquire(self, size_bytes: int) -> memoryview:
        """Wait until ``size_bytes`` are within the limit and lend a buffer; ValueError when they never are."""
        await self._wait_for(size_bytes)
        return self._buffer(size_bytes)

    async def _wait_for(self, size_bytes: int) -> None:
        if size_bytes > self.limit_bytes:
            raise ValueError(f"a buffer of {size_bytes} bytes exceeds the budget of {self.limit_bytes}")
        if self._waiters or self.used_bytes + size_bytes > self.limit_bytes:
            turn = asyncio.get_running_loop().create_future()
            self._waiters.append((size_bytes, turn))
            try:
                await turn
            except asyncio.CancelledError:
                self._leave(size_bytes, turn)
                raise
        else:
            self._take(size_bytes)

    def release(self, buffer: memoryview) -> None:
        """Take a buffer back."""
        self._idle.setdefault(len(buffer), []).append(buffer)
        self._idle_bytes += len(buffer)
        self._give(len(buffer))

    @asynccontextmanager
    async def lend(self, size_bytes: int) -> AsyncIterator[memoryview]:
        """Lend a buffer for as long as the context lasts."""
        buffer = await self.acquire(size_bytes)
        try:
            yield buffer
        finally:
            self.release(buffer)

    @asynccontextmanager
    async def hold(self, size_bytes: int) -> AsyncIterator[None]:
        """Count memory that a library allocates by itself, for as long as the context lasts."""
        await self._wait_for(size_bytes)
        self._shed()
        try:
            yield
        finally:
            self._give(size_bytes)

    def _take(self, size_bytes: int) -> None:
        self.used_bytes += size_bytes
        self.used_bytes_max = max(self.used_bytes_max, self.used_bytes)

    def _give(self, size_bytes: int) -> None:
        self.used_bytes -= size_bytes
        while self._waiters and self.used_bytes + self._waiters[0][0] <= self.limit_bytes:
            wanted, turn = self._waiters.popleft()
            if not turn.done():
                self._take(wanted)
                turn.set_result(None)

    def _leave(self, size_bytes: int, turn: asyncio.Future[None]) -> None:
        """Give up a place in the queue, or the bytes if the turn had just come."""
        if turn.done() and not turn.cancelled():
            self._give(size_bytes)
        else:
            self._waiters = deque(waiter for waiter in self._waiters if waiter[1] is not turn)
            self._give(0)

    def _buffer(self, size_bytes: int) -> memoryview:
        idle = self._idle.get(size_bytes)
        if idle:
            self._idle_bytes -= size_bytes
            return idle.pop()
        self._shed()
        return pages(size_bytes)

    def _shed(self) -> None:
        """Give up idle buffers until what is lent fits beside the others: idle memory counts too."""
        for idle in self._idle.values():
            while idle and self.used_bytes + self._idle_bytes > self.limit_bytes:
                self._idle_bytes -= len(idle.pop())
