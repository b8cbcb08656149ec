from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from targets.errors import Misconfigured, ObjectNotFound
from targets.memory import MemoryTarget
from targets.wrappers.limit import Limit
from tests.support.virtual_clock import VirtualClock


class Gate(MemoryTarget):
    """Holds each put until it is opened; knows how many there are and were at most."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.running = 0
        self.running_max = 0

    async def put(self, key: str, body: object, *, if_absent: bool = False) -> None:
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        try:
            await self.open.wait()
        finally:
            self.running -= 1


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def limit(inner: MemoryTarget, clock: VirtualClock, *, operations_max: int = 8, bytes_per_s: int = 0) -> Limit:
    return Limit(
        inner,
        operations_max=operations_max,
        bytes_per_s=bytes_per_s,
        monotonic=clock.monotonic,
        sleep=clock.sleep,
    )


async def test_no_more_run_at_a_time_than_allowed() -> None:
    gate = Gate()
    target = limit(gate, VirtualClock(), operations_max=3)
    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(target.put(f"{number}", b""))
        await settle()
        assert gate.running == 3
        gate.open.set()
    assert gate.running_max == 3


async def test_more_slots_help_those_who_wait() -> None:
    gate = Gate()
    target = limit(gate, VirtualClock(), operations_max=1)
    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(target.put(f"{number}", b""))
        await settle()
        target.operations_max = 4
        await settle()
        assert (gate.running, target.operations_max) == (4, 4)
        gate.open.set()


async def test_fewer_slots_interrupt_nobody_and_hold_from_then_on() -> None:
    gate = Gate()
    target = limit(gate, VirtualClock(), operations_max=3)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(target.put(f"{number}", b"")) for number in range(3)]
        await settle()
        target.operations_max = 1
        group.create_task(target.put("late", b""))
        running[0].cancel()
        await settle()
        assert gate.running == 2
        running[1].cancel()
        running[2].cancel()
        await settle()
        assert gate.running == 1
        gate.open.set()


@pytest.mark.parametrize("is_handed_over", [False, True])
async def test_cancelled_waiter_takes_no_slot_with_it(is_handed_over: bool) -> None:
    gate = Gate()
    target = limit(gate, VirtualClock(), operations_max=1)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(target.put("first", b""))
        second = group.create_task(target.put("second", b""))
        await settle()
        if is_handed_over:
            first.cancel()
            await asyncio.sleep(0)  # The slot is now the second one's, which has not run yet.
        second.cancel()
        await settle()
        assert second.cancelled()
        gate.open.set()
    await asyncio.wait_for(target.put("third", b""), timeout=5)


async def test_waiter_cancelled_while_a_slot_comes_free_is_passed_over() -> None:
    gate = Gate()
    target = limit(gate, VirtualClock(), operations_max=1)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(target.put("first", b""))
        second = group.create_task(target.put("second", b""))
        group.create_task(target.put("third", b""))
        await settle()
        first.cancel()  # Runs first, and finds the second one cancelled before that one could leave.
        second.cancel()
        await settle()
        assert gate.running == 1
        assert second.cancelled()
        gate.open.set()


async def test_failed_operation_gives_its_slot_back() -> None:
    target = limit(MemoryTarget(), VirtualClock(), operations_max=1)
    for _ in range(3):
        with pytest.raises(ObjectNotFound):
            await target.get("absent")


async def test_reader_of_a_listing_can_use_the_only_slot() -> None:
    target = limit(MemoryTarget(), VirtualClock(), operations_max=1)
    await target.put("key", b"content")
    async for info in target.list(""):
        assert await asyncio.wait_for(target.get(info.key), timeout=5) == b"content"


async def run_for(clock: VirtualClock, seconds: int) -> None:
    """Let time pass in steps that a sleeper can use."""
    for _ in range(seconds * 10):
        await settle()
        clock.advance(0.1)
    await settle()


async def test_bytes_pass_at_the_rate() -> None:
    clock, inner = VirtualClock(), MemoryTarget()
    target = limit(inner, clock, bytes_per_s=100)
    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(target.put(f"{number}", bytes(100)))
        for second in range(1, 5):
            await run_for(clock, 1)
            stored = [info async for info in inner.list("")]
            assert second - 1 <= len(stored) <= second
        await run_for(clock, 7)
    assert len([info async for info in inner.list("")]) == 10


async def test_idle_time_saves_one_second_of_bytes_and_no_more() -> None:
    clock, inner = VirtualClock(), MemoryTarget()
    target = limit(inner, clock, bytes_per_s=100)
    clock.advance(3600)
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(target.put(f"{number}", bytes(100)))
        await settle()
        assert len([info async for info in inner.list("")]) == 1
        await run_for(clock, 3)


async def test_object_larger_than_a_second_of_bytes_passes() -> None:
    clock = VirtualClock()
    target = limit(MemoryTarget(), clock, bytes_per_s=100)
    async with asyncio.TaskGroup() as group:
        put = group.create_task(target.put("key", bytes(1000)))
        await run_for(clock, 9)
        assert not put.done()
        await run_for(clock, 2)
        assert put.done()


async def test_reads_count_also_when_their_length_is_not_known() -> None:
    clock, inner = VirtualClock(), MemoryTarget()
    await inner.put("key", bytes(500))
    target = limit(inner, clock, bytes_per_s=100)
    for read in (target.get("key"), target.get("key", length=500), target.get_into("key", bytearray(500))):
        async with asyncio.TaskGroup() as group:
            get = group.create_task(_awaited(read))
            await run_for(clock, 3)
            assert not get.done()
            await run_for(clock, 3)
            assert get.done()


async def _awaited(operation: Awaitable[object]) -> None:
    await operation


@pytest.mark.parametrize("bytes_per_s", [0, 10**6])
async def test_new_rate_helps_those_who_wait(bytes_per_s: int) -> None:
    clock = VirtualClock()
    target = limit(MemoryTarget(), clock, bytes_per_s=1)
    async with asyncio.TaskGroup() as group:
        put = group.create_task(target.put("key", bytes(10**6)))
        await run_for(clock, 10)
        target.bytes_per_s = bytes_per_s
        await run_for(clock, 2)
        assert put.done()
    assert target.bytes_per_s == bytes_per_s


async def test_requests_without_bytes_do_not_wait_for_the_rate() -> None:
    clock, inner = VirtualClock(), MemoryTarget()
    await inner.put("key", b"content")
    target = limit(inner, clock, bytes_per_s=1)
    async with asyncio.TaskGroup() as group:
        put = group.create_task(target.put("large", bytes(1000)))
        await settle()
        assert (await asyncio.wait_for(target.head("key"), timeout=5)).size_bytes == 7
        put.cancel()


@pytest.mark.parametrize(("name", "value"), [("operations_max", 0), ("bytes_per_s", -1)])
def test_senseless_limit_is_named(name: str, value: int) -> None:
    target = limit(MemoryTarget(), VirtualClock())
    with pytest.raises(Misconfigured, match=f"option {name}: {value}, expected"):
        setattr(target, name, value)
