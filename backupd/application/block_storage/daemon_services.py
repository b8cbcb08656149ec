"""The services of Cinder that this daemon stands for, and the pools that there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from backupd.access import Access, Caller
from backupd.clock import Clock

_WITH_BACKEND = "cinder-volume"
_BINARIES = ("cinder-backup", _WITH_BACKEND)


@dataclass(frozen=True, slots=True)
class DaemonService:
    """One service, which is up: it answers."""

    binary: str
    seen_at: datetime

    @property
    def has_backend(self) -> bool:
        """Whether it stands before a storage, whose state it tells."""
        return self.binary == _WITH_BACKEND


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonServices:
    """Shows them to those who may know."""

    clock: Clock
    access: Access

    def all(self, caller: Caller, binary: str | None) -> list[DaemonService]:
        """Return all of them, or that of one ``binary``. Forbidden."""
        self.access.require(caller, "volume_extension:services:index")
        return [DaemonService(one, self.clock.now()) for one in _BINARIES if binary in (None, one)]

    def pools(self, caller: Caller) -> tuple[()]:
        """Return that there are none. Forbidden."""
        self.access.require(caller, "scheduler_extension:scheduler_stats:get_pools")
        return ()
