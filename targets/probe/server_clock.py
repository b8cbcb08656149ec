"""What a driver may offer beside the protocol of a target: the time of its server."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class ServerClock(Protocol):
    """A driver that can tell what time it is over there."""

    async def server_time_s(self) -> float:
        """Return seconds since 1970 by the server's clock, as it was during the call. Any TargetError."""
