"""The byte budget against plain sums, whoever asks, gives back or is cancelled."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from backupd.pipeline.budget import ByteBudget

LIMIT = 100
# Ask for so many bytes; or let the n-th of those who asked give back, or be cancelled.
steps = st.lists(
    st.tuples(st.just("ask"), st.integers(1, LIMIT))
    | st.tuples(st.sampled_from(["end", "cancel"]), st.integers(0, 30)),
    max_size=60,
)


class Books:
    """Who asked in which order, and who holds what."""

    def __init__(self) -> None:
        self.budget = ByteBudget(LIMIT)
        self.held: dict[int, int] = {}
        self.served: list[int] = []
        self.ends: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def borrow(self, number: int, size: int) -> None:
        async with self.budget.lend(size) as buffer:
            assert len(buffer) == size
            self.served.append(number)
            self.held[number] = size
            try:
                await self.ends[number].wait()
            finally:
                del self.held[number]

    def check(self) -> None:
        assert self.budget.used_bytes == sum(self.held.values()) <= LIMIT
        idle = sum(len(buffer) for buffers in self.budget._idle.values() for buffer in buffers)
        assert self.budget.used_bytes + idle <= LIMIT
        assert self.served == sorted(self.served)  # In the order in which they asked.


@given(steps)
def test_the_limit_holds_and_nobody_waits_for_ever(steps: list[tuple[str, int]]) -> None:
    async def scenario() -> None:
        books = Books()
        async with asyncio.TaskGroup() as group:
            for what, number in steps:
                if what == "ask":
                    books.ends.append(asyncio.Event())
                    books.tasks.append(group.create_task(books.borrow(len(books.tasks), number)))
                elif number < len(books.tasks):
                    books.ends[number].set() if what == "end" else books.tasks[number].cancel()
                for _ in range(len(books.tasks) + 5):
                    await asyncio.sleep(0)
                books.check()
            for end in books.ends:
                end.set()
        assert books.budget.used_bytes == 0

    asyncio.run(scenario())
