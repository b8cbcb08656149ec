from __future__ import annotations

import asyncio
import mmap

import pytest

from backupd.pipeline.budget import ByteBudget


class Borrower:
    """A task that borrows, tells so, and holds on to its buffer until it may give it back."""

    def __init__(self, budget: ByteBudget, size_bytes: int, served: list[str], name: str) -> None:
        self._budget = budget
        self._size_bytes = size_bytes
        self._served = served
        self._name = name
        self.has_it = asyncio.Event()
        self.may_end = asyncio.Event()

    async def run(self) -> None:
        async with self._budget.lend(self._size_bytes):
            self._served.append(self._name)
            self.has_it.set()
            await self.may_end.wait()


async def until_all_wait() -> None:
    """Let every task run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_buffers_start_at_a_page_and_have_the_size_asked_for() -> None:
    budget = ByteBudget(100_000)
    buffer = await budget.acquire(5000)
    assert len(buffer) == 5000
    assert isinstance(buffer.obj, mmap.mmap)  # Which starts at a page, as O_DIRECT needs it.


async def test_what_never_fits_is_refused() -> None:
    with pytest.raises(ValueError, match="a buffer of 101 bytes exceeds the budget of 100"):
        await ByteBudget(100).acquire(101)


async def test_who_finds_no_room_waits_for_it() -> None:
    budget, served = ByteBudget(100), list[str]()
    first, second = Borrower(budget, 60, served, "first"), Borrower(budget, 60, served, "second")
    async with asyncio.TaskGroup() as group:
        group.create_task(first.run())
        group.create_task(second.run())
        await until_all_wait()
        assert (served, budget.used_bytes) == (["first"], 60)
        first.may_end.set()
        await second.has_it.wait()
        second.may_end.set()
    assert (budget.used_bytes, budget.used_bytes_max) == (0, 60)


async def test_a_small_buffer_does_not_overtake_a_large_one() -> None:
    budget, served = ByteBudget(100), list[str]()
    borrowers = [Borrower(budget, size, served, name) for size, name in ((60, "a"), (100, "large"), (10, "small"))]
    async with asyncio.TaskGroup() as group:
        for borrower in borrowers:
            group.create_task(borrower.run())
        await until_all_wait()
        assert served == ["a"]  # Though there is room for the small one.
        for borrower in borrowers:
            borrower.may_end.set()
    assert served == ["a", "large", "small"]


async def test_a_cancelled_waiter_makes_way() -> None:
    budget, served = ByteBudget(100), list[str]()
    first, large, small = (Borrower(budget, size, served, str(size)) for size in (60, 100, 40))
    async with asyncio.TaskGroup() as group:
        group.create_task(first.run())
        waiting = group.create_task(large.run())
        group.create_task(small.run())
        await until_all_wait()
        waiting.cancel()
        await small.has_it.wait()
        assert budget.used_bytes == 100
        first.may_end.set()
        small.may_end.set()
    assert budget.used_bytes == 0


async def test_who_is_cancelled_when_its_turn_comes_gives_it_back() -> None:
    budget = ByteBudget(100)
    held = await budget.acquire(100)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(budget.acquire(100))
        await until_all_wait()
        budget.release(held)  # Its turn has come, but it has not run since.
        waiting.cancel()
    assert budget.used_bytes == 0
    assert len(await budget.acquire(100)) == 100


async def test_a_failing_borrower_gives_back() -> None:
    budget = ByteBudget(100)
    with pytest.raises(OSError, match="broken"):
        async with budget.lend(100):
            raise OSError("broken")
    assert budget.used_bytes == 0


async def test_a_buffer_is_used_again() -> None:
    budget = ByteBudget(100)
    first = await budget.acquire(100)
    budget.release(first)
    assert await budget.acquire(100) is first


async def test_idle_buffers_of_other_sizes_are_given_up_when_their_memory_is_needed() -> None:
    budget = ByteBudget(100)
    for buffer in [await budget.acquire(50), await budget.acquire(50)]:
        budget.release(buffer)
    large = await budget.acquire(100)
    assert not any(budget._idle.values())
    budget.release(large)
