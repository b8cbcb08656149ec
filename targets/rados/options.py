"""What an operator may choose for a rados target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from targets.errors import Misconfigured, TargetGone

_TIMEOUT_S_MAX = 3600
_PART_BYTES_MIN = 4096
_PART_BYTES_MAX = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Namespace:
    """Which objects: those of a namespace in a pool. The namespace "" is the pool's own."""

    pool: str
    name: str

    def gone(self) -> TargetGone:
        """Return the error that says so."""
        return TargetGone(f"pool {self.pool} was removed\nHINT: one made anew is used after a restart")


@dataclass(frozen=True, slots=True, kw_only=True)
class RadosOptions:
    """``user``: the client's name without ``client.``; ``keyring``: if it is not where ceph.conf looks.

    ``operation_timeout_s``: after this time the cluster's client gives up one request.
    ``connect_timeout_s``: and after this one a connection. ``part_bytes``: larger objects are stored in parts.
    """

    conf: str = "/etc/ceph/ceph.conf"
    user: str = "admin"
    keyring: str | None = None
    operation_timeout_s: int = 30
    connect_timeout_s: int = 10
    part_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("operation_timeout_s", "connect_timeout_s"):
            _check(name, getattr(self, name), 1, _TIMEOUT_S_MAX)
        _check("part_bytes", self.part_bytes, _PART_BYTES_MIN, _PART_BYTES_MAX)
        if not self.user or self.user.startswith("client."):
            raise Misconfigured(f"option user: {self.user!r}, expected a name without client. before it")

    def settings(self) -> Iterator[tuple[str, str]]:
        """Yield what a connection is to be configured with, after ``conf``."""
        if self.keyring is not None:
            yield "keyring", self.keyring
        yield "rados_osd_op_timeout", str(self.operation_timeout_s)
        yield "rados_mon_op_timeout", str(self.connect_timeout_s)
        yield "client_mount_timeout", str(self.connect_timeout_s)
        # A full throttle blocks the thread that submits, which is the event loop's. How much is under way at
        # a time is bounded above us.
        yield "objecter_inflight_ops", str(2**30)
        yield "objecter_inflight_op_bytes", str(2**50)
        for output in ("log_to_stderr", "err_to_stderr"):
            yield output, "false"  # What goes wrong is raised.


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise Misconfigured(f"option {name}: {value}, expected {least} to {most}")
