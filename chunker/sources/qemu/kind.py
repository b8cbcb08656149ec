"""Addresses of the disks of a running QEMU, and what of them the operator allows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from chunker.errors import InvalidAddress, SourceMisconfigured
from chunker.sources.address import Address
from chunker.sources.base import Source
from chunker.sources.nbd.client import Effort
from chunker.sources.options import read_options
from chunker.sources.qemu.disk import Wanted
from chunker.sources.qemu.fleecing import Space
from chunker.sources.qemu.monitor import Monitor
from chunker.sources.qemu.source import Fleecing, QemuPoint, QemuSource, Site, open_group
from chunker.sources.sockets import check_socket

_PREFIX = re.compile(r"[a-z][a-z0-9.-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class QemuOptions:
    """``[sources.qemu]``.

    ``sockets``: the monitors, agents and NBD servers that may be named, or directories of them. In
    ``fleecing_dir`` QEMU keeps what guests overwrite while their disks are read. ``reserve``: see ``fleecing``.
    ``bitmap_prefix`` tells the bitmaps of this daemon from those of others.
    """

    fleecing_dir: str
    sockets: tuple[str, ...] = ()
    fleecing: str = "auto"
    reserve: bool = True
    bitmap_prefix: str = "backupd"
    granularity_bytes: int = 65536
    timeout_s: float = 60.0
    freeze_timeout_s: float = 5.0
    connections_max: int = 4
    requests_max: int = 8


class QemuKind:
    """``qemu+qmp:///MONITOR?device=ID`` or ``?node=NAME``, with ``nbd=SOCKET`` and ``agent=SOCKET`` if need be."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = read_options("qemu", QemuOptions, options)
        _check(self._options)
        self._monitors: dict[str, Monitor] = {}

    def check(self, address: Address) -> None:
        address.only_options("device", "node", "nbd", "agent")
        if address.scheme != "qemu+qmp" or address.host or address.port is not None:
            raise InvalidAddress("expected qemu+qmp:///PATH-OF-THE-MONITOR?device=ID or ?node=NAME")
        if ("device" in address.options) == ("node" in address.options):
            raise InvalidAddress("expected either a device or a node")
        sockets = {"monitor": address.path}
        sockets |= {name: address.options[name] for name in ("nbd", "agent") if name in address.options}
        for name, path in sockets.items():
            check_socket(name, path, self._options.sockets, key="sources.qemu.sockets")

    def check_group(self, addresses: Sequence[Address]) -> None:
        if len({str(Path(address.path).resolve()) for address in addresses}) != 1:
            raise InvalidAddress("expected disks of one QEMU, with one monitor")
        if len({self._wanted(address) for address in addresses}) != len(addresses):
            raise InvalidAddress("expected each disk once")
        self._site(addresses)

    def open_group(self, addresses: Sequence[Address]) -> Sequence[QemuPoint]:
        return open_group(self._site(addresses), [self._wanted(address) for address in addresses])

    def open(self, address: Address, *, allow_live: bool, direct_io: bool) -> Source:
        return QemuSource(self._site([address]), self._wanted(address))

    def _wanted(self, address: Address) -> Wanted:
        return Wanted(node=address.options.get("node"), device=address.options.get("device"))

    def _site(self, addresses: Sequence[Address]) -> Site:
        options = self._options
        return Site(
            monitor=self._monitor(addresses[0].path),
            space=Space(directory=Path(options.fleecing_dir), is_reserved=options.reserve),
            fleecing=cast(Fleecing, options.fleecing),
            prefix=options.bitmap_prefix,
            granularity_bytes=options.granularity_bytes,
            nbd_socket=_common("nbd", addresses),
            agent=_common("agent", addresses),
            freeze_timeout_s=options.freeze_timeout_s,
            effort=Effort(
                connections_max=options.connections_max, requests_max=options.requests_max, timeout_s=options.timeout_s
            ),
        )

    def _monitor(self, path: str) -> Monitor:
        real = str(Path(path).resolve())
        # setdefault is one step for the interpreter, so two threads get the same.
        return self._monitors.setdefault(real, Monitor(real, timeout_s=self._options.timeout_s))


def _common(option: str, addresses: Sequence[Address]) -> str | None:
    """Return what those addresses say that say anything. InvalidAddress when they differ."""
    said = {address.options[option] for address in addresses if option in address.options}
    if len(said) > 1:
        raise InvalidAddress(f"option {option}: expected the same for all disks")
    return said.pop() if said else None


def _check(options: QemuOptions) -> None:
    expected = {
        "fleecing_dir": (Path(options.fleecing_dir).is_absolute(), "an absolute path"),
        "fleecing": (options.fleecing in get_args(Fleecing), "auto, filter or job"),
        "bitmap_prefix": (_PREFIX.fullmatch(options.bitmap_prefix), "a few lower-case letters, digits, '.' and '-'"),
        "granularity_bytes": (_is_granularity(options.granularity_bytes), "a power of two from 4096 to 16777216"),
        "timeout_s": (0.1 <= options.timeout_s <= 3600, "a number from 0.1 to 3600"),
        "freeze_timeout_s": (0.1 <= options.freeze_timeout_s <= 60, "a number from 0.1 to 60"),
        "connections_max": (1 <= options.connections_max <= 16, "an integer from 1 to 16"),
        "requests_max": (1 <= options.requests_max <= 64, "an integer from 1 to 64"),
    }
    for name, (is_fine, what) in expected.items():
        if not is_fine:
            raise SourceMisconfigured(f"option {name}: expected {what}")


def _is_granularity(size_bytes: int) -> bool:
    return 4096 <= size_bytes <= 2**24 and size_bytes & (size_bytes - 1) == 0
