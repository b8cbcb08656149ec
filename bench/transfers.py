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
_COUNT_MIN = 4
_COUNT_MAX = 4000
_BYTES_MAX = 1024 * MIB  # Some of the servers keep them in memory.
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
    store: Store, sizes_bytes: Sequence[int], *, rounds: int, seconds: float, concurrencies: Sequence[int]
) -> list[Measured]:
    """Return a row for each job, size and concurrency. ``seconds``: how long storing shall take, roughly."""
    target = open_target(store.url, **store.options)
    try:
        async with store.lean() as lean:
            return [
                row
                for size_bytes in sizes_bytes
                for concurrency in concurrencies
                for row in await _Cell(store, target, lean, size_bytes, concurrency).rows(rounds, seconds)
            ]
    finally:
        await target.aclose()


class _Cell:
    """Objects of one size, so many at a time."""

    def __init__(self, store: Store, target: Target, lean: LeanClient, size_bytes: int, concurrency: int) -> None:
        self._store = store
        self._target = target
        self._lean = lean
        self._size_bytes = size_bytes
        self._concurrency = concurrency
        self._body = os.urandom(size_bytes)  # A store that compresses gains nothing.
        self._view = memoryview(bytearray(self._body))  # As the pipeline hands it over.
        self._free = [bytearray(size_bytes) for _ in range(concurrency)]

    async def rows(self, rounds: int, seconds: float) -> list[Measured]:
        """Warm up and measure; the driver and the lean client take turns in who is first."""
        count = await self._warm_up(seconds)
        put, get = (
            Measured(self._store.name, job, self._size_bytes, self._concurrency, count, []) for job in ("put", "get")
        )
        for number in range(rounds):
            taken = await self._round(f"r{number}", count, is_driver_first=number % 2 == 0)
            put.rounds.append(taken[0])
            get.rounds.append(taken[1])
        return [put, get]

    async def _warm_up(self, seconds: float) -> int:
        """Return how many objects the slower of both stores in that time, within bounds."""
        few = max(self._concurrency, _COUNT_MIN)
        await self._round("connect", self._concurrency, is_driver_first=True)
        stored, _ = await self._round("warm", few, is_driver_first=True)
        wanted = few * seconds / max(taken.wall_s for taken in stored)
        return max(few, min(int(wanted), _COUNT_MAX, _BYTES_MAX // self._size_bytes))

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
