"""Objects through a driver, and through the leanest client of the same server."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.lean_clients import LeanClient, for_each
from bench.stores import Store
from targets.base import Target
from targets.open import open_target

MIB = 1024 * 1024
PACK_BYTES = 16 * MIB
SMALL_BYTES = 64 * 1024
CONCURRENCIES = (1, 8, 32)
Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Taken:
    """What one way to do the work took: CPU of this process alone, all of its threads."""

    wall_s: float
    cpu_s: float


@dataclass(slots=True)
class Measured:
    """One row of the table: ``rounds`` are (driver, lean client)."""

    store: str
    job: str
    size_bytes: int
    concurrency: int
    count: int
    rounds: list[tuple[Taken, Taken]]


async def measure(
    store: Store, sizes_bytes: Sequence[int], *, rounds: int, scale: float = 1.0, concurrencies: Sequence[int]
) -> list[Measured]:
    """Return a row for each job, size and concurrency. ``scale``: as many times the usual number of objects."""
    target = open_target(store.url, **store.options)
    try:
        async with store.lean() as lean:
            return [
                row
                for size_bytes in sizes_bytes
                for concurrency in concurrencies
                for row in await _Cell(store, target, lean, size_bytes, concurrency, scale).rows(rounds)
            ]
    finally:
        await target.aclose()


class _Cell:
    """Objects of one size, so many at a time."""

    def __init__(
        self, store: Store, target: Target, lean: LeanClient, size_bytes: int, concurrency: int, scale: float
    ) -> None:
        self._store = store
        self._target = target
        self._lean = lean
        self._size_bytes = size_bytes
        self._concurrency = concurrency
        self._count = max(int(_count(size_bytes, concurrency) * scale), 1)
        self._body = os.urandom(size_bytes)  # A store that compresses gains nothing.
        self._view = memoryview(bytearray(self._body))  # As the pipeline hands it over.
        self._free = [bytearray(size_bytes) for _ in range(concurrency)]

    async def rows(self, rounds: int) -> list[Measured]:
        """Warm up and measure; the driver and the lean client take turns in who is first."""
        put, get = (
            Measured(self._store.name, job, self._size_bytes, self._concurrency, self._count, [])
            for job in ("put", "get")
        )
        await self._round("warm", self._concurrency, is_driver_first=True)  # Connections, and the server's caches.
        for number in range(rounds):
            taken = await self._round(f"r{number}", self._count, is_driver_first=number % 2 == 0)
            put.rounds.append(taken[0])
            get.rounds.append(taken[1])
        return [put, get]

    async def _round(
        self, name: str, count: int, *, is_driver_first: bool
    ) -> tuple[tuple[Taken, Taken], tuple[Taken, Taken]]:
        """Return (driver, lean) of storing and of reading. Leaves nothing behind."""
        ours, theirs = (list(self._keys(f"{name}-{who}", count)) for who in ("driver", "lean"))
        concurrency = self._concurrency
        try:
            stored = await _both(
                lambda: for_each(ours, concurrency, self._put),
                lambda: self._lean.put_all(theirs, self._body, concurrency=concurrency),
                is_first=is_driver_first,
            )
            read = await _both(
                lambda: for_each(ours, concurrency, self._get),
                lambda: self._lean.get_all(theirs, self._size_bytes, concurrency=concurrency),
                is_first=is_driver_first,
            )
            # Both stored the same, and the driver did read it.
            assert await self._target.get(theirs[-1]) == self._body, theirs[-1]
            assert self._free[-1] == self._body, ours[-1]
        finally:
            await self._target.delete_many([*ours, *theirs])
        return stored, read

    def _keys(self, name: str, count: int) -> Iterator[str]:
        for number in range(count):
            yield f"{name}-{self._size_bytes}-{self._concurrency}-{number}"

    async def _put(self, key: str) -> None:
        await self._target.put(key, self._view)

    async def _get(self, key: str) -> None:
        buffer = self._free.pop()
        await self._target.get_into(key, buffer)
        self._free.append(buffer)


async def _both(driver: Work, lean: Work, *, is_first: bool) -> tuple[Taken, Taken]:
    one = await _taken(driver if is_first else lean)
    other = await _taken(lean if is_first else driver)
    return (one, other) if is_first else (other, one)


async def _taken(work: Work) -> Taken:
    gc.collect()
    os.sync()  # Nobody pays for what another one left to be written back.
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    await work()
    return Taken(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def _count(size_bytes: int, concurrency: int) -> int:
    """Return how many objects take about a second."""
    few, each = (8, 1) if size_bytes >= MIB else (200, 12)
    return max(few, each * concurrency)
