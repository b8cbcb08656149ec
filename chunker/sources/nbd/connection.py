"""One connection to an export: reads and block status, many requests in flight. Blocks; for one thread at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from ssl import SSLContext
from typing import NamedTuple

from chunker.extents import Extent
from chunker.sources.nbd import wire
from chunker.sources.nbd.failures import ConnectionLost, Refused
from chunker.sources.nbd.handshake import shake_hands
from chunker.sources.nbd.place import Place
from chunker.sources.nbd.stream import Stream

_ZEROS = bytes(64 * 1024)
_STATUS_BYTES_MAX = 2**31  # A length has 32 bits; more than half of them breaks some servers.


class Status(NamedTuple):
    """What a meta context says about a range."""

    extent: Extent
    flags: int


class Connection:
    """A connection after its handshake. After ConnectionLost or Refused it is of no use any more."""

    def __init__(self, place: Place, contexts: Sequence[str], *, tls: SSLContext | None, timeout_s: float) -> None:
        self._stream = Stream(place.dial(timeout_s))
        try:
            self.export = shake_hands(self._stream, place, contexts, tls)
        except BaseException:
            self._stream.close()
            raise
        self._cookie = 0
        self._scratch = memoryview(bytearray(wire.CHUNK_REST.size))

    def read_into(
        self, offset_bytes: int, buffer: memoryview, *, request_bytes: int, requests_max: int, is_exact: bool
    ) -> None:
        """Fill the buffer by requests of ``request_bytes``, ``requests_max`` of them at a time.

        ``is_exact``: the server must read; it may not ask its image for zeros instead.
        """
        pieces = iter(_pieces(offset_bytes, buffer, min(request_bytes, self.export.read_bytes_max)))
        is_df = is_exact and self.export.is_structured and self.export.flags & wire.FLAG_SEND_DF
        flags = wire.CMD_FLAG_DF if is_df else 0
        flying: dict[int, _Piece] = {}
        self._send_reads(pieces, flying, requests_max, flags)
        while flying:
            if self._land(flying):
                self._send_reads(pieces, flying, requests_max, flags)

    def status(self, within: Extent) -> Iterator[tuple[str, Status]]:
        """Yield what each negotiated context says about ``within``, ascending within each context."""
        position = within.offset_bytes
        while position < within.end_bytes:
            length = min(within.end_bytes - position, _STATUS_BYTES_MAX)
            told = list(self._status(Extent(position, length)))
            ends = {context: status.extent.end_bytes for context, status in told}
            end = min(min(ends.values(), default=position), position + length)
            if end <= position or len(ends) < len(self.export.contexts):
                raise Refused(f"the server tells no block status at byte {position}")
            for context, (extent, flags) in told:
                if extent.offset_bytes < end:
                    cut = min(extent.end_bytes, end) - extent.offset_bytes
                    yield context, Status(Extent(extent.offset_bytes, cut), flags)
            position = end

    def close(self) -> None:
        """Take leave, as far as the server still listens; may be called twice."""
        try:
            self._stream.send(wire.REQUEST.pack(wire.REQUEST_MAGIC, 0, wire.CMD_DISCONNECT, 0, 0, 0))
        except ConnectionLost:
            pass
        finally:
            self._stream.close()

    def abandon(self) -> None:
        """Close without a word: after a failure nobody knows what the server would take it for."""
        self._stream.close()

    def _send_reads(self, pieces: Iterator[_Piece], flying: dict[int, _Piece], requests_max: int, flags: int) -> None:
        requests = []
        while len(flying) < requests_max and (piece := next(pieces, None)) is not None:
            self._cookie += 1
            flying[self._cookie] = piece
            requests.append(
                wire.REQUEST.pack(
                    wire.REQUEST_MAGIC, flags, wire.CMD_READ, self._cookie, piece.offset_bytes, piece.buffer.nbytes
                )
            )
        if requests:
            self._stream.send(b"".join(requests))

    def _land(self, flying: dict[int, _Piece]) -> bool:
        """Take one chunk of an answer; tell whether a request is answered in full with it."""
        kind, is_last, cookie, length = self._header()
        piece = flying.get(cookie)
        if piece is None:
            raise ConnectionLost("the server answers what nobody has asked")
        if kind == _SIMPLE:
            self._stream.fill(piece.buffer)
            piece.missing_bytes = 0
        elif kind == wire.CHUNK_DATA and length > wire.U64.size:
            (start,) = wire.U64.unpack(self._take(wire.U64.size))
            self._stream.fill(piece.part(start, length - wire.U64.size))
        elif kind == wire.CHUNK_HOLE and length == wire.HOLE.size:
            start, length = wire.HOLE.unpack(self._take(wire.HOLE.size))
            _clear(piece.part(start, length))
        elif kind != wire.CHUNK_NONE or length:
            raise ConnectionLost(f"the server answers a read with a chunk of kind {kind} and {length} bytes")
        if not is_last:
            return False
        if piece.missing_bytes:
            raise ConnectionLost(f"the server left out {piece.missing_bytes} bytes at {piece.offset_bytes}")
        del flying[cookie]
        return True

    def _status(self, within: Extent) -> Iterator[tuple[str, Status]]:
        self._cookie += 1
        request = (wire.REQUEST_MAGIC, 0, wire.CMD_BLOCK_STATUS, self._cookie, within.offset_bytes, within.length_bytes)
        self._stream.send(wire.REQUEST.pack(*request))
        is_last = False
        while not is_last:
            kind, is_last, cookie, length = self._header()
            if cookie != self._cookie or kind not in (wire.CHUNK_STATUS, wire.CHUNK_NONE):
                raise ConnectionLost("the server answers what nobody has asked")
            content = self._stream.take(length)
            if kind == wire.CHUNK_STATUS:
                yield from self._extents(within, content)

    def _extents(self, within: Extent, content: bytes) -> Iterator[tuple[str, Status]]:
        context = self.export.contexts.get(int.from_bytes(content[:4], "big"))
        if context is None or len(content) % wire.EXTENT.size != wire.U32.size:
            raise ConnectionLost("the server tells a block status that nobody can read")
        position = within.offset_bytes
        for length, flags in wire.EXTENT.iter_unpack(content[4:]):
            yield context, Status(Extent(position, length), flags)
            position += length

    def _header(self) -> tuple[int, bool, int, int]:
        """Return kind, whether it is the last of its answer, cookie and length. Refused when it is an error."""
        (magic,) = wire.U32.unpack(self._take(wire.U32.size))
        if magic == wire.SIMPLE_MAGIC:
            error, cookie = wire.SIMPLE_REST.unpack(self._take(wire.SIMPLE_REST.size))
            if error:
                raise Refused(os.strerror(error).lower())
            return _SIMPLE, True, cookie, 0
        if magic != wire.CHUNK_MAGIC:
            raise ConnectionLost("what the server answers is none")
        flags, kind, cookie, length = wire.CHUNK_REST.unpack(self._take(wire.CHUNK_REST.size))
        if length > wire.CHUNK_BYTES_MAX:
            raise ConnectionLost(f"the server answers with a chunk of {length} bytes")
        if kind & wire.CHUNK_IS_ERROR:
            raise Refused(_told(self._stream.take(length)))
        return kind, bool(flags & wire.CHUNK_DONE), cookie, length

    def _take(self, count: int) -> memoryview:
        part = self._scratch[:count]
        self._stream.fill(part)
        return part


_SIMPLE = -1


class _Piece:
    """What one request reads; ``missing_bytes`` have not arrived yet."""

    __slots__ = ("buffer", "missing_bytes", "offset_bytes")

    def __init__(self, offset_bytes: int, buffer: memoryview) -> None:
        self.offset_bytes = offset_bytes
        self.buffer = buffer
        self.missing_bytes = buffer.nbytes

    def part(self, offset_bytes: int, length: int) -> memoryview:
        start = offset_bytes - self.offset_bytes
        if start < 0 or length > self.missing_bytes or start + length > self.buffer.nbytes:
            raise ConnectionLost(f"the server answers with bytes that nobody asked for, at {offset_bytes}")
        self.missing_bytes -= length
        return self.buffer[start : start + length]


def _pieces(offset_bytes: int, buffer: memoryview, request_bytes: int) -> Iterator[_Piece]:
    for start in range(0, buffer.nbytes, request_bytes):
        yield _Piece(offset_bytes + start, buffer[start : start + request_bytes])


def _clear(part: memoryview) -> None:
    for start in range(0, part.nbytes, len(_ZEROS)):
        rest = part[start : start + len(_ZEROS)]
        rest[:] = _ZEROS[: rest.nbytes]


def _told(content: bytes) -> str:
    number, length = int.from_bytes(content[:4], "big"), int.from_bytes(content[4:6], "big")
    message = content[6 : 6 + length].decode(errors="replace")[:200]
    return message or (os.strerror(number).lower() if number else "unknown error")
