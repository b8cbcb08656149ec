from __future__ import annotations

import asyncio
from random import Random

import pytest

from targets.errors import (
    Misconfigured,
    ObjectExists,
    ObjectNotFound,
    QuotaExceeded,
    Retryable,
    Throttled,
    TimedOut,
    Unavailable,
)
from targets.memory import MemoryTarget
from targets.testing import keys
from targets.wrappers.faults import Effect, Fault, Faults
from targets.wrappers.retry import Retry


class Delays:
    """Notes how long it was to sleep, and does not."""

    def __init__(self) -> None:
        self.delays_s: list[float] = []

    async def sleep(self, delay_s: float) -> None:
        self.delays_s.append(delay_s)


def retry(*faults: Fault, retries_max: int = 5, timeout_s: float = 30) -> tuple[Retry, Faults]:
    faulty = Faults(MemoryTarget(), faults)
    return Retry(faulty, retries_max=retries_max, timeout_s=timeout_s, sleep=Delays().sleep), faulty


async def test_final_error_is_raised_at_once() -> None:
    target, faulty = retry(Fault(error=QuotaExceeded))
    with pytest.raises(QuotaExceeded):
        await target.put("key", b"content")
    assert faulty.calls == [("put", "key")]


@pytest.mark.parametrize("error", [Throttled, Unavailable, TimedOut])
async def test_retryable_error_is_retried(error: type[Retryable]) -> None:
    target, faulty = retry(Fault(error=error, at_call=1))
    await target.put("key", b"content")
    assert faulty.calls == [("put", "key")] * 2


async def test_last_error_is_raised_when_retries_are_used_up() -> None:
    target, faulty = retry(Fault(error=Throttled), retries_max=3)
    with pytest.raises(Throttled) as caught:
        await target.get("key")
    assert caught.value.__notes__ == ["gave up after 4 attempts"]
    assert len(faulty.calls) == 4


async def test_no_retries_means_one_attempt() -> None:
    target, faulty = retry(Fault(), retries_max=0)
    with pytest.raises(Unavailable):
        await target.head("key")
    assert len(faulty.calls) == 1


async def test_delay_is_random_below_a_ceiling_that_doubles_to_a_maximum() -> None:
    delays, ceilings_s = Delays(), [1, 2, 4, 5, 5, 5]
    inner = Faults(MemoryTarget(), [Fault()])
    target = Retry(inner, retries_max=6, timeout_s=30, delay_s=1, delay_max_s=5, sleep=delays.sleep, random=Random(7))
    with pytest.raises(Unavailable):
        await target.delete("key")
    expected = Random(7)
    assert delays.delays_s == [expected.uniform(0, ceiling_s) for ceiling_s in ceilings_s]


async def test_hanging_attempt_is_cancelled_and_retried() -> None:
    target, faulty = retry(Fault(effect=Effect.HANG, at_call=1), timeout_s=0.01)
    await target.put("key", b"content")
    assert faulty.calls == [("put", "key")] * 2


async def test_target_that_always_hangs_times_out() -> None:
    target, _ = retry(Fault(effect=Effect.HANG), retries_max=1, timeout_s=0.01)
    with pytest.raises(TimedOut, match=r"get key: no answer within 0.01 s"):
        await target.get("key")


async def test_cancellation_is_no_timeout() -> None:
    target, faulty = retry(Fault(effect=Effect.HANG))
    async with asyncio.TaskGroup() as group:
        get = group.create_task(target.get("key"))
        await asyncio.sleep(0)  # It runs until it hangs.
        assert faulty.calls == [("get", "key")]
        get.cancel()
    assert get.cancelled()
    assert len(faulty.calls) == 1


async def test_timeout_of_the_driver_itself_is_not_taken_for_ours() -> None:
    class Leaky(MemoryTarget):
        async def delete(self, key: str) -> None:
            raise TimeoutError(key)

    with pytest.raises(TimeoutError, match="key"):
        await Retry(Leaky(), retries_max=3, timeout_s=30).delete("key")


async def test_lost_response_to_a_conditional_put_is_a_success() -> None:
    target, _ = retry(Fault(effect=Effect.LOST_RESPONSE, operation="put", at_call=1))
    await target.put("key", memoryview(b"content"), if_absent=True)
    assert await target.get("key") == b"content"


async def test_object_of_somebody_else_is_a_conflict_after_a_retry() -> None:
    target, faulty = retry(Fault(operation="put", at_call=2))
    await faulty.put("key", b"theirs!")
    for body in (b"content", b"of another size"):
        with pytest.raises(ObjectExists):
            await target.put("key", body, if_absent=True)
    assert await target.get("key") == b"theirs!"


async def test_conflict_at_the_first_attempt_is_not_examined() -> None:
    target, faulty = retry()
    await faulty.put("key", b"content")
    with pytest.raises(ObjectExists):
        await target.put("key", b"content", if_absent=True)
    assert faulty.calls == [("put", "key")] * 2


async def test_conflict_with_an_object_that_is_gone_again_is_still_a_conflict() -> None:
    target, faulty = retry(Fault(operation="put", at_call=2), Fault(operation="head", error=ObjectNotFound))
    await faulty.put("key", b"content")
    with pytest.raises(ObjectExists):
        await target.put("key", b"content", if_absent=True)


async def test_broken_listing_goes_on_without_repeating_itself() -> None:
    breaks = [Fault(operation="list", at_call=call, after_objects=4 * call) for call in (1, 2)]
    target, faulty = retry(*breaks, retries_max=1)
    for number in range(10):
        await faulty.put(f"{number}", b"")
    assert await keys(target) == [f"{number}" for number in range(10)]


async def test_listing_without_progress_gives_up() -> None:
    target, faulty = retry(Fault(operation="list", after_objects=1), retries_max=3)
    for number in range(3):
        await faulty.put(f"{number}", b"")
    with pytest.raises(Unavailable):
        await keys(target)
    assert faulty.calls.count(("list", "")) == 4  # One made progress, three retries did not.


async def test_hanging_listing_is_started_again() -> None:
    target, faulty = retry(Fault(effect=Effect.HANG, operation="list", at_call=1), timeout_s=0.01)
    await faulty.put("key", b"")
    assert await keys(target) == ["key"]


@pytest.mark.parametrize("options", [{"retries_max": -1}, {"timeout_s": 0}, {"delay_s": -1}, {"delay_max_s": -0.1}])
def test_senseless_option_is_named(options: dict[str, float]) -> None:
    good: dict[str, float] = {"retries_max": 1, "timeout_s": 1}
    with pytest.raises(Misconfigured, match=f"option {next(iter(options))}: "):
        Retry(MemoryTarget(), **(good | options))  # type: ignore[arg-type]  # floats will do here
