from __future__ import annotations

import asyncio

import pytest

from targets.base import Target
from targets.errors import ObjectNotFound, TargetError, Throttled, Unavailable
from targets.memory import MemoryTarget
from targets.testing import keys
from targets.wrappers.faults import Effect, Fault, Faults

BODY = b"0123456789"


async def failures(target: Target, count: int) -> list[bool]:
    failed = []
    for number in range(count):
        try:
            await target.put(f"{number}", BODY)
        except TargetError:
            failed.append(True)
        else:
            failed.append(False)
    return failed


async def test_error_means_that_nothing_was_done() -> None:
    inner = MemoryTarget()
    with pytest.raises(Throttled, match=r"put key: injected fault \(error\)"):
        await Faults(inner, [Fault(error=Throttled)]).put("key", BODY)
    assert await keys(inner) == []


async def test_fault_hits_the_call_of_its_number_only() -> None:
    assert await failures(Faults(MemoryTarget(), [Fault(at_call=3)]), 5) == [False, False, True, False, False]


async def test_fault_hits_its_operation_and_keys_only() -> None:
    fault = Fault(operation="put", matches=lambda _, key: key.startswith("packs/"), at_call=2)
    target = Faults(MemoryTarget(), [fault])
    for key in ("manifests/1", "packs/1", "manifests/2"):
        await target.put(key, BODY)
    await target.get("packs/1")
    with pytest.raises(Unavailable):
        await target.put("packs/2", BODY)


async def test_same_seed_means_the_same_faults() -> None:
    fault = Fault(probability=0.5)
    runs = [await failures(Faults(MemoryTarget(), [fault], seed=seed), 100) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    assert 30 < sum(runs[0]) < 70


async def test_order_of_the_calls_does_not_change_the_faults() -> None:
    async def failed(order: list[int]) -> set[int]:
        target = Faults(MemoryTarget(), [Fault(probability=0.5)], seed=3)
        found = set()
        for number in order:
            try:
                await target.put(f"{number}", BODY)
            except Unavailable:
                found.add(number)
        return found

    assert await failed([*range(50)]) == await failed([*reversed(range(50))])


async def test_lost_response_means_that_all_was_done() -> None:
    inner = MemoryTarget()
    with pytest.raises(Unavailable):
        await Faults(inner, [Fault(effect=Effect.LOST_RESPONSE)]).put("key", BODY)
    assert await inner.get("key") == BODY


async def test_torn_put_stores_the_first_half() -> None:
    inner = MemoryTarget()
    with pytest.raises(Unavailable):
        await Faults(inner, [Fault(effect=Effect.TORN_PUT)]).put("key", BODY)
    assert await inner.get("key") == BODY[:5]


async def test_flipped_bit_is_one_and_the_stored_object_is_as_it_was() -> None:
    inner, room = MemoryTarget(), bytearray(10)
    await inner.put("key", BODY)
    target = Faults(inner, [Fault(effect=Effect.BIT_FLIP)])
    await target.get_into("key", room)
    for found in (await target.get("key"), room):
        assert (int.from_bytes(found) ^ int.from_bytes(BODY)).bit_count() == 1
    assert await inner.get("key") == BODY


async def test_bit_of_an_empty_object_cannot_flip() -> None:
    target = Faults(MemoryTarget(), [Fault(effect=Effect.BIT_FLIP)])
    await target.put("key", b"")
    assert await target.get("key") == b""


async def test_latency_is_slept_first() -> None:
    slept_s: list[float] = []

    async def sleep(delay_s: float) -> None:
        slept_s.append(delay_s)

    target = Faults(MemoryTarget(), [Fault(effect=Effect.LATENCY, latency_s=1.5)], sleep=sleep)
    await target.put("key", BODY)
    assert slept_s == [1.5]


async def test_hanging_call_ends_when_cancelled_and_does_nothing() -> None:
    inner = MemoryTarget()
    async with asyncio.TaskGroup() as group:
        put = group.create_task(Faults(inner, [Fault(effect=Effect.HANG)]).put("key", BODY))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not put.done()
        put.cancel()
    assert await keys(inner) == []


async def test_stale_listing_shows_the_past() -> None:
    inner = MemoryTarget()
    await inner.put("old", BODY)
    target = Faults(inner, [Fault(effect=Effect.STALE_LIST, operation="list", at_call=1)])
    await target.put("new", BODY)
    await target.put("short-lived", BODY)
    await target.delete("short-lived")
    assert await keys(target) == ["old", "short-lived"]
    assert await keys(target) == ["new", "old"]


async def test_listing_breaks_off_after_so_many_objects() -> None:
    target = Faults(MemoryTarget(), [Fault(operation="list", after_objects=2)])
    for key in "abc":
        await target.put(key, BODY)
    listing = target.list("")
    assert [(await anext(listing)).key, (await anext(listing)).key] == ["a", "b"]
    with pytest.raises(Unavailable):
        await anext(listing)


async def test_calls_are_told_in_order() -> None:
    target = Faults(MemoryTarget(), [])
    await target.put("a", BODY)
    with pytest.raises(ObjectNotFound):
        await target.head("b")
    await keys(target, "c/")
    assert target.calls == [("put", "a"), ("head", "b"), ("list", "c/")]
