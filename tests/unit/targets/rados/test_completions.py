from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from targets.rados.completions import Completions, Ending, Outcome, all_of


async def test_task_is_cancelled_when_what_it_waits_for_has_ended_and_not_before() -> None:
    ending: Ending[int] = Ending()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(all_of([ending]))
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        ending.set_result(1)
    assert task.cancelled()


async def test_deadline_is_kept_when_what_it_waits_for_has_ended() -> None:
    ending: Ending[int] = Ending()
    asyncio.get_running_loop().call_later(0.01, ending.set_result, 1)
    passed = False
    try:
        async with asyncio.timeout(0):
            await ending
    except TimeoutError:
        passed = True
    assert passed
    assert ending.result() == 1


async def test_all_results_come_in_order() -> None:
    endings: list[Ending[int]] = [Ending() for _ in range(3)]
    for number in (2, 0, 1):
        endings[number].set_result(number)
    assert await all_of(endings) == [0, 1, 2]
    assert await all_of([]) == []


@dataclass(frozen=True)
class Completion:
    result: int

    def get_return_value(self) -> int:
        return self.result


async def test_what_was_found_is_taken_before_the_outcome_is_told() -> None:
    completions = Completions(OSError)
    ending = completions.expect()
    completions.submit(
        ending,
        lambda completed: completed(Completion(3), b"abcd"),
        take=lambda result, found: found[:result],
    )
    assert await ending == Outcome(3, b"abc")


async def test_what_goes_wrong_with_taking_is_the_outcome() -> None:
    def take(result: int, found: object) -> object:
        raise TypeError(f"{result} of {found!r}")

    completions = Completions(OSError)
    ending = completions.expect()
    completions.submit(ending, lambda completed: completed(Completion(3), b"abcd"), take)
    with pytest.raises(TypeError, match="3 of b'abcd'"):
        await ending
