from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from backupd.pipeline.workers import Kits, Workers, settle


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers(2)
    yield workers
    workers.close()


class Held:
    """Work that waits in its thread until it may end."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()
        self.may_end = threading.Event()
        self.has_ended = False

    def __call__(self) -> None:
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self.may_end.wait(30)
        self.has_ended = True


async def test_work_runs_in_a_thread_and_its_result_comes_back(workers: Workers) -> None:
    assert await workers.run(threading.get_ident) != threading.get_ident()
    assert await workers.run(int, "21", base=3) == 7


async def test_work_gives_way_to_the_event_loop(workers: Workers) -> None:
    of_the_loop = os.getpriority(os.PRIO_PROCESS, 0)
    assert await workers.run(os.getpriority, os.PRIO_PROCESS, 0) == min(of_the_loop + 5, 19)
    assert os.getpriority(os.PRIO_PROCESS, 0) == of_the_loop


async def test_an_exception_comes_back(workers: Workers) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await workers.run(int, "x")


async def test_who_is_cancelled_ends_only_after_its_thread(workers: Workers) -> None:
    work = Held()
    async with asyncio.TaskGroup() as group:
        caller = group.create_task(workers.run(work))
        await work.begun.wait()
        caller.cancel()
        for _ in range(20):
            await asyncio.sleep(0)  # Chances enough to end too early.
        assert not caller.done()
        work.may_end.set()
    assert caller.cancelled()
    assert work.has_ended


async def test_what_was_opened_for_somebody_who_is_cancelled_is_let_go(workers: Workers) -> None:
    work = Held()
    let_go: list[None] = []
    async with asyncio.TaskGroup() as group:
        caller = group.create_task(workers.opened(work, let_go.append))
        await work.begun.wait()
        caller.cancel()
        await asyncio.sleep(0)
        work.may_end.set()
    assert caller.cancelled()
    assert let_go == [None]


async def test_what_was_opened_is_the_callers(workers: Workers) -> None:
    let_go: list[int] = []
    assert await workers.opened(lambda: 7, let_go.append) == 7
    assert let_go == []


async def test_work_beyond_the_threads_waits_for_one(workers: Workers) -> None:
    held, late = [Held(), Held()], Held()
    running = [workers.submit(work) for work in (*held, late)]
    for work in held:
        await work.begun.wait()
    assert not late.begun.is_set()
    for work in (*held, late):
        work.may_end.set()
    await settle(running)
    assert late.has_ended


async def test_settled_work_may_fail_unnoticed(workers: Workers, caplog: pytest.LogCaptureFixture) -> None:
    await settle([workers.submit(int, "x"), workers.submit(int, "1")])
    assert caplog.text == ""


async def test_closing_waits_for_the_threads() -> None:
    workers, work = Workers(1), Held()
    future = workers.submit(work)
    await work.begun.wait()
    work.may_end.set()
    workers.close()
    assert work.has_ended
    await settle([future])


def test_a_kit_is_lent_to_one_at_a_time_and_comes_back_after_a_failure() -> None:
    kits = Kits(object, 1)
    with pytest.raises(OSError, match="broken"), kits.lend() as first:
        raise OSError("broken")
    with kits.lend() as second:
        assert second is first
