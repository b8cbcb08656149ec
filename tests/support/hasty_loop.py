"""An event loop on which a minute passes in a moment, while threads work at their own pace."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_SPEED = 1000.0


class _HastySelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / _SPEED)


class _HastyLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__(_HastySelector())

    def time(self) -> float:
        return super().time() * _SPEED


def run_hastily(scenario: Coroutine[Any, Any, T]) -> T:
    """Run ``scenario`` to its end."""
    with asyncio.Runner(loop_factory=_HastyLoop) as runner:
        return runner.run(scenario)
