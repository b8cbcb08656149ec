"""Worker threads that count what they are given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from backupd.pipeline.workers import Workers

P = ParamSpec("P")
T = TypeVar("T")
THREADS = 2


class CountedWorkers(Workers):
    """Counts what is handed to the threads."""

    def __init__(self) -> None:
        super().__init__(THREADS)
        self.trips = 0

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        self.trips += 1
        return super().submit(work, *args, **kwargs)
