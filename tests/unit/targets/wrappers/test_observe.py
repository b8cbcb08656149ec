from __future__ import annotations

import asyncio
import logging

import pytest

from targets.errors import ObjectNotFound
from targets.memory import MemoryTarget
from targets.wrappers.faults import Effect, Fault, Faults
from targets.wrappers.observe import Observe
from tests.support.virtual_clock import VirtualClock


async def test_operations_and_bytes_are_counted() -> None:
    target = Observe(MemoryTarget())
    await target.put("a", b"12345")
    await target.put("b", memoryview(b"12345678").cast("I"))
    await target.get("a", offset=1, length=2)
    await target.get_into("b", bytearray(4))
    await target.head("a")
    await target.delete("a")
    assert [info.key async for info in target.list("")] == ["b"]
    counters = target.counters
    assert counters.operations == {"put": 2, "get": 2, "head": 1, "delete": 1, "list": 1}
    assert (counters.requests, counters.bytes_out, counters.bytes_in) == (7, 13, 6)
    assert counters.errors == {}


async def test_failed_operation_counts_as_a_request_and_an_error_but_not_its_bytes() -> None:
    target = Observe(Faults(MemoryTarget(), [Fault(operation="put")]))
    for operation in (target.put("key", b"content"), target.get("absent")):
        with pytest.raises(Exception, match=r"injected|absent"):
            await operation
    assert target.counters.requests == 2
    assert target.counters.errors == {"target.unavailable": 1, "target.object_not_found": 1}
    assert (target.counters.bytes_out, target.counters.bytes_in) == (0, 0)


async def test_cancelled_operation_is_counted() -> None:
    target = Observe(Faults(MemoryTarget(), [Fault(effect=Effect.HANG)]))
    async with asyncio.TaskGroup() as group:
        head = group.create_task(target.head("key"))
        await asyncio.sleep(0)
        head.cancel()
    assert target.counters.errors == {"CancelledError": 1}


async def test_listing_that_is_left_early_is_no_error() -> None:
    target = Observe(MemoryTarget())
    for key in "ab":
        await target.put(key, b"")
    listing = target.list("")
    await anext(listing)
    await listing.aclose()  # type: ignore[attr-defined]  # it is a generator, and the test knows it
    assert (target.counters.operations["list"], target.counters.errors) == (1, {})


async def test_seconds_are_those_of_the_target() -> None:
    clock = VirtualClock()

    async def pass_time(seconds: float) -> None:
        clock.advance(seconds)

    slow = Faults(MemoryTarget(), [Fault(effect=Effect.LATENCY, latency_s=2)], sleep=pass_time)
    target = Observe(slow, monotonic=clock.monotonic)
    await target.put("key", b"")
    async for _ in target.list(""):
        clock.advance(100)  # What the reader does is not the target's time.
    assert target.counters.seconds == {"put": 2, "list": 2}


async def test_each_operation_is_one_line_without_content(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "targets.wrappers.observe")
    clock = VirtualClock()
    target = Observe(MemoryTarget(), name="vault", monotonic=clock.monotonic)
    await target.put("packs/1", b"hunter2")
    with pytest.raises(ObjectNotFound):
        await target.get("packs/2")
    assert caplog.messages == [
        "vault: put packs/1: ok, 7 bytes, 0.000000 s",
        "vault: get packs/2: target.object_not_found, 0 bytes, 0.000000 s",
    ]


def test_name_is_that_of_the_target_unless_given() -> None:
    assert Observe(MemoryTarget()).capabilities.name == "memory"
