"""The time that requests carry: this machine's, corrected by what the store says when it disagrees."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_TOLERATED = timedelta(minutes=4)  # Stores refuse from 5 to 15 minutes on.


class RequestClock:
    """Tells the time; ``time_s`` is seconds since the epoch."""

    def __init__(self, time_s: Callable[[], float] = time.time) -> None:
        self._time_s = time_s
        self._offset = timedelta()

    def now(self) -> datetime:
        """Return the time as the store has it, as far as is known."""
        return datetime.fromtimestamp(self._time_s(), UTC) + self._offset

    def correct(self, date: str) -> bool:
        """Take the time of a ``Date`` header if ours is far from it, and tell whether that was so."""
        try:
            theirs = parsedate_to_datetime(date)
        except ValueError:
            return False
        if theirs.tzinfo is None or abs(theirs - self.now()) <= _TOLERATED:
            return False
        self._offset += theirs - self.now()
        return True
