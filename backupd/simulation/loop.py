"""An event loop whose time jumps when every task waits, and which plays the worker threads itself.

One seed is one run: which of two threads ends first is drawn, and a run can be had again. A test of an hour
takes milliseconds, and one in which everything waits for ever fails at once.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")
_START = datetime(2026, 1, 1, tzinfo=UTC)
_THREAD_DELAY_S_MAX = 0.01
_DEFAULT_THREADS = 4


class Stuck(Exception):
    """Every task waits for something that nobody will ever do."""


class LoopClock:
    """The time of the running loop. ``skew_s`` is how wrong the wall clock is."""

    def __init__(self) -> None:
        self.skew_s = 0.0

    def now(self) -> datetime:
        return _START + timedelta(seconds=self.monotonic() + self.skew_s)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Nothing outside of it can wake it up: no socket, no process, no thread."""

    def __init__(self, seed: int = 0) -> None:
        self.now_s = 0.0
        self.random = Random(seed)
        self._pools: WeakKeyDictionary[Executor, _Pool] = WeakKeyDictionary()
        self._default_pool = _Pool(self, _DEFAULT_THREADS)
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self.now_s

    def jump(self, seconds: float) -> None:
        """Let time pass at once. Whatever was to happen meanwhile happens late, as after a machine slept."""
        self.now_s += seconds

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]  # typeshed has a second type for packed arguments
        if executor is None:
            return self._default_pool.submit(lambda: func(*args))
        if executor._shutdown:  # noqa: SLF001 - as an executor would refuse
            raise RuntimeError("cannot schedule new futures after shutdown")
        pool = self._pools.setdefault(executor, _Pool(self, executor._max_workers))  # noqa: SLF001 - as many at a time as it has
        return pool.submit(lambda: func(*args))


class SimulatedPolicy(asyncio.DefaultEventLoopPolicy):
    """Lets pytest run the tests of a module in simulated loops."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return SimulatedLoop()


def run_simulated(main: Coroutine[Any, Any, T], *, seed: int) -> T:
    """Run ``main`` in a loop of its own. Stuck when nothing can ever happen any more."""
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(seed)) as runner:
        return runner.run(main)


class _Pool:
    """The threads of one executor: work starts in order, as many at a time as there are threads."""

    def __init__(self, loop: SimulatedLoop, threads: int) -> None:
        self._loop = loop
        self._free = threads
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append((work, future))
        self._start()
        return future

    def _start(self) -> None:
        while self._free and self._waiting:
            work, future = self._waiting.popleft()
            if future.cancelled():
                continue
            self._free -= 1
            delay_s = self._loop.random.uniform(0, _THREAD_DELAY_S_MAX)
            # A thread may have done its work long before the loop hears of it, or only just.
            outcome = _outcome(work) if self._loop.random.random() < 0.5 else None
            self._loop.call_later(delay_s, self._end, work, future, outcome)

    def _end(self, work: Callable[[], Any], future: asyncio.Future[Any], outcome: _Outcome | None) -> None:
        self._free += 1
        result, error = outcome or _outcome(work)
        if not future.cancelled():
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
        self._start()


_Outcome = tuple[Any, Exception | None]


def _outcome(work: Callable[[], Any]) -> _Outcome:
    try:
        return work(), None
    except Exception as error:  # noqa: BLE001 - as an executor, it hands on whatever comes
        return None, error


class _JumpingSelector(selectors.SelectSelector):
    """Asks nobody: what a loop of this kind waits for is time, and that passes here."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck(f"at {self._loop.now_s:.3f} s: {sorted(t.get_name() for t in asyncio.all_tasks(self._loop))}")
        self._loop.now_s += max(timeout, 0.0)
        return []
