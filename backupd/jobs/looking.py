"""Looking from time to time whether there is something to do, for as long as the daemon runs."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from backupd.clock import Clock

_log = logging.getLogger(__name__)


async def look_now_and_then(
    look: Callable[[], Awaitable[int]], *, wake: Callable[[], None], clock: Clock, interval_s: float, failed: str
) -> None:
    """Await ``look`` every ``interval_s`` until cancelled, and ``wake`` the worker when it has queued jobs.

    What it raises is logged as ``failed``, and it is asked again.
    """
    while True:
        try:
            if await look():
                wake()
        except Exception:  # noqa: BLE001 - the boundary of one look: the daemon has other things to do
            _log.exception("%s", failed)
        await clock.sleep(interval_s)
