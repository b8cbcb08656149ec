"""How late the event loop is: the proof that nothing blocks it (promise P10)."""

from __future__ import annotations

from collections import deque

from backupd.clock import Clock

_INTERVAL_S = 0.05  # Half of what is promised; oftener costs a busy daemon more than one percent of a core.
_SAMPLES_MAX = 1200


class LoopLag:
    """Sleeps fifty milliseconds again and again and remembers, for the last minute, how much later it woke."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples_s: deque[float] = deque(maxlen=_SAMPLES_MAX)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = self._clock.monotonic() + _INTERVAL_S
            await self._clock.sleep(_INTERVAL_S)
            self._samples_s.append(max(self._clock.monotonic() - due, 0.0))

    def percentiles(self) -> dict[str, float]:
        """Return seconds of lag as p50, p99 and max; zeros before the first sample."""
        ordered = sorted(self._samples_s) or [0.0]
        return {
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[len(ordered) * 99 // 100],
            "max": ordered[-1],
        }
