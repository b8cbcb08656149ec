"""From a connected socket to an export that can be read: the options that client and server agree on."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from chunker.sources.nbd import wire
from chunker.sources.nbd.failures import ConnectionLost, Refused
from chunker.sources.nbd.place import Place
from chunker.sources.nbd.stream import Stream

_READ_BYTES_MAX = 32 * 1024 * 1024  # What a server takes that does not say.


@dataclass(slots=True)
class Export:
    """What the server said about the export; ``contexts`` are the meta contexts that it has, by id."""

    size_bytes: int = -1
    flags: int = 0
    read_bytes_max: int = _READ_BYTES_MAX
    contexts: dict[int, str] = field(default_factory=dict)
    is_structured: bool = False

    @property
    def is_multi_conn(self) -> bool:
        """Whether all connections see the same."""
        return bool(self.flags & wire.FLAG_MULTI_CONN)


def shake_hands(stream: Stream, place: Place, contexts: Sequence[str], tls: ssl.SSLContext | None) -> Export:
    """Return the export, ready to be read. ``tls`` must be there when the place demands it. ConnectionLost, Refused."""
    options = _begin(stream, place, tls)
    export = Export(is_structured=options.ask(wire.OPT_STRUCTURED_REPLY, b""))
    name = place.export.encode()
    if contexts and export.is_structured:
        export.contexts = options.contexts(name, contexts)
    options.describe(wire.OPT_GO, name, export)
    return export


def list_exports(stream: Stream, place: Place, tls: ssl.SSLContext | None) -> Iterator[tuple[str, int]]:
    """Yield name and size of each export of the server; none is entered. ConnectionLost, Refused.

    A server that ends when its last client has left does not count who only asked.
    """
    options = _begin(stream, place, tls)
    for name in options.names():
        export = Export()
        with suppress(Refused, UnicodeDecodeError):  # Gone meanwhile; or a name that no address can have.
            text = name.decode()
            options.describe(wire.OPT_INFO, name, export)
            yield text, export.size_bytes


def _begin(stream: Stream, place: Place, tls: ssl.SSLContext | None) -> _Options:
    magic, option_magic, flags = wire.GREETING.unpack(stream.take(wire.GREETING.size))
    if magic != wire.MAGIC or option_magic != wire.OPTION_MAGIC or not flags & wire.FIXED_NEWSTYLE:
        raise Refused("what answers is no NBD server of today")
    stream.send(wire.U32.pack(wire.FIXED_NEWSTYLE | (flags & wire.NO_ZEROES)))
    options = _Options(stream)
    if place.is_tls:
        assert tls is not None, "a place with TLS needs a context"
        options.demand(wire.OPT_STARTTLS, b"", "TLS")
        stream.start_tls(tls, place.host or None)
    return options


class _Options:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def ask(self, option: int, content: bytes) -> bool:
        """Tell whether the server does what is asked."""
        return all(not kind & wire.REP_IS_ERROR for kind, _ in self._replies(option, content))

    def demand(self, option: int, content: bytes, what: str) -> None:
        """Refused unless the server does it."""
        for kind, message in self._replies(option, content):
            self._refuse_error(kind, message, what)

    def contexts(self, name: bytes, wanted: Sequence[str]) -> dict[int, str]:
        queries = b"".join(wire.U32.pack(len(query)) + query for query in (one.encode() for one in wanted))
        content = wire.U32.pack(len(name)) + name + wire.U32.pack(len(wanted)) + queries
        found = {}
        for kind, reply in self._replies(wire.OPT_SET_META_CONTEXT, content):
            if kind & wire.REP_IS_ERROR:
                return {}  # It knows none; what is wrong with the export itself, the next option tells.
            if kind == wire.REP_META_CONTEXT:
                found[wire.U32.unpack_from(reply)[0]] = reply[4:].decode(errors="replace")
        return found

    def names(self) -> list[bytes]:
        found = []
        for kind, reply in self._replies(wire.OPT_LIST, b""):
            self._refuse_error(kind, reply, "the list of exports")
            if kind == wire.REP_SERVER:
                found.append(reply[4 : 4 + wire.U32.unpack_from(reply)[0]])  # What follows describes it to people.
        return found

    def describe(self, option: int, name: bytes, export: Export) -> None:
        """Fill in what the server tells of the export."""
        content = wire.U32.pack(len(name)) + name + b"\0\1" + wire.INFO_BLOCK_SIZE.to_bytes(2, "big")
        for kind, reply in self._replies(option, content):
            self._refuse_error(kind, reply, "the export")
            if kind != wire.REP_INFO:
                continue
            what = int.from_bytes(reply[:2], "big")
            if what == wire.INFO_EXPORT:
                _, export.size_bytes, export.flags = wire.EXPORT.unpack(reply)
            elif what == wire.INFO_BLOCK_SIZE:
                *_, largest = wire.BLOCK_SIZES.unpack(reply)
                export.read_bytes_max = min(largest, _READ_BYTES_MAX)
        if export.size_bytes < 0:
            raise Refused("the server did not tell the size of the export")

    def _refuse_error(self, kind: int, message: bytes, what: str) -> None:
        if kind & wire.REP_IS_ERROR:
            known = wire.REP_ERRORS.get(kind, f"the server answers {kind:#x}")
            told = message.decode(errors="replace")[:200]
            raise Refused(f"{what} is refused: {known}{f' ({told})' if told else ''}")

    def _replies(self, option: int, content: bytes) -> Iterator[tuple[int, bytes]]:
        self._stream.send(wire.OPTION.pack(wire.OPTION_MAGIC, option, len(content)) + content)
        while True:
            header = self._stream.take(wire.OPTION_REPLY.size)
            magic, answered, kind, length = wire.OPTION_REPLY.unpack(header)
            if magic != wire.OPTION_REPLY_MAGIC or answered != option or length > wire.OPTION_BYTES_MAX:
                raise ConnectionLost("the server's answer to an option is none")
            yield kind, self._stream.take(length)
            if kind == wire.REP_ACK or kind & wire.REP_IS_ERROR:
                return
