"""How far a job is. Stages add to it, anyone may read it."""

from __future__ import annotations

from backupd.clock import Clock
from backupd.model import Progress

_RATE_WINDOW_S = 10.0


class ProgressMeter:
    """Counts bytes done of bytes to do; the rate is that of the last ten to twenty seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._window_start = self._previous_start = clock.monotonic()
        self._window_bytes = self._previous_bytes = 0
        self.done_bytes = 0
        self.total_bytes = 0

    def add(self, size_bytes: int) -> None:
        """Count bytes that are done."""
        self.done_bytes += size_bytes
        now = self._clock.monotonic()
        if now - self._window_start >= _RATE_WINDOW_S:
            self._previous_start, self._previous_bytes = self._window_start, self._window_bytes
            self._window_start, self._window_bytes = now, self.done_bytes

    def snapshot(self) -> Progress:
        """Return the state of now; rate and ETA are None until something was done."""
        elapsed_s = self._clock.monotonic() - self._previous_start
        rate = (self.done_bytes - self._previous_bytes) / elapsed_s if elapsed_s > 0 else 0.0
        remaining = max(self.total_bytes - self.done_bytes, 0)
        return Progress(
            done_bytes=self.done_bytes,
            total_bytes=self.total_bytes,
            rate_bytes_per_s=rate or None,
            eta_s=remaining / rate if rate else None,
        )
