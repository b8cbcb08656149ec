"""An NBD export as a source: read by many requests, holes told by ``base:allocation``, no tracking."""

from __future__ import annotations

from collections.abc import Iterator
from ssl import SSLContext

from chunker.errors import SourceTooShort
from chunker.extents import Extent, between
from chunker.sources.base import Changes, ParentPoint
from chunker.sources.nbd import wire
from chunker.sources.nbd.client import Client, Effort
from chunker.sources.nbd.place import Place

_MAPPED_BYTES = 2**31


class NbdSource:
    """The raw bytes of an export, as they are while they are read: it is the server's to hold them still."""

    def __init__(self, place: Place, *, tls: SSLContext | None = None, effort: Effort | None = None) -> None:
        self._place = place
        self._tls = tls
        self._effort = effort or Effort()

    def open(self) -> NbdPoint:
        """Connect. SourceMissing, SourceUnreadable."""
        client = Client(self._place, [wire.ALLOCATION], tls=self._tls, effort=self._effort)
        return NbdPoint(client, identity=_identity(self._place))


class NbdPoint:
    """An export as it is while it is read."""

    token: str | None = None

    def __init__(self, client: Client, *, identity: str) -> None:
        self._client = client
        self.identity = identity
        self.size_bytes = client.export.size_bytes

    def changed_since(self, parent: ParentPoint) -> Changes:
        if parent.identity != self.identity:
            return Changes(None, f"the parent is of {parent.identity}, this volume is {self.identity}")
        return Changes(None, "a plain NBD export has no changed-block tracking")

    def data_extents(self, within: Extent) -> Iterator[Extent]:
        yield from data_extents(self._client, between(within.offset_bytes, min(within.end_bytes, self.size_bytes)))

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        read_into(self._client, self.identity, offset_bytes, buffer)

    def check(self) -> None:
        self._client.check()

    def commit(self) -> None:
        """Do nothing: there is no tracking to move on."""

    def rollback(self) -> None:
        """Do nothing: there is no tracking to keep."""

    def close(self) -> None:
        self._client.close()


def read_into(client: Client, name: str, offset_bytes: int, buffer: memoryview) -> None:
    """Fill the buffer. SourceTooShort, SourceUnreadable, SourceChanged."""
    size_bytes = client.export.size_bytes
    if offset_bytes + buffer.nbytes > size_bytes:
        got_bytes = max(size_bytes - offset_bytes, 0)
        raise SourceTooShort(f"{name} at byte {offset_bytes}: expected {buffer.nbytes} bytes, got {got_bytes}")
    client.read_into(offset_bytes, buffer)


def data_extents(client: Client, within: Extent) -> Iterator[Extent]:
    """Yield what does not read as zeros for certain, ascending. SourceUnreadable."""
    if wire.ALLOCATION not in client.export.contexts.values():
        if within.length_bytes:
            yield within  # The server does not tell its holes.
        return
    for extent, flags in status(client, wire.ALLOCATION, within):
        if not flags & wire.ALLOCATION_ZERO:
            yield extent


def status(client: Client, context: str, within: Extent) -> Iterator[tuple[Extent, int]]:
    """Yield what a context says about all of ``within``, ascending. SourceUnreadable."""
    for start in range(within.offset_bytes, within.end_bytes, _MAPPED_BYTES):
        yield from client.status(context, between(start, min(start + _MAPPED_BYTES, within.end_bytes)))


def _identity(place: Place) -> str:
    where = f"unix:{place.socket_path}" if place.socket_path else f"{place.host}:{place.port}"
    return f"nbd:{where}/{place.export}"
