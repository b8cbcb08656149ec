"""What happened in a run: all of it in a digest, the last of it in words."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from datetime import timedelta

_EVENTS_KEPT = 150


class Trace:
    """Two runs of one seed have the same digest, in whatever process."""

    def __init__(self, elapsed_s: Callable[[], float]) -> None:
        self._elapsed_s = elapsed_s
        self._digest = hashlib.sha256()
        self._last: deque[str] = deque(maxlen=_EVENTS_KEPT)
        self.count = 0

    def note(self, what: str) -> None:
        """Add an event."""
        at_s = self._elapsed_s()
        event = f"{timedelta(seconds=round(at_s, 3))!s:>22} {what}"
        self.count += 1
        self._digest.update(event.encode())
        self._last.append(event)

    def aside(self, what: str) -> None:
        """Add what helps people and is not compared: it may say something about this machine."""
        self._last.append(f"{'':22} | {what}")

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def last(self) -> Iterator[str]:
        """Return the last events, the oldest first."""
        return iter(self._last)
