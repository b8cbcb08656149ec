"""Where one HTTP/1.1 request ends and the next one begins (RFC 9112), and answers to them."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

_PIECE_BYTES = 64 * 1024
_HEAD_BYTES_MAX = 64 * 1024


class Garbled(Exception):
    """What came is not HTTP/1.1."""


class Inbox:
    """What a client sends, in the pieces that the reader wants."""

    def __init__(self, loop: asyncio.AbstractEventLoop, source: socket.socket) -> None:
        self._loop = loop
        self._source = source
        self._kept = b""

    async def until(self, end: bytes) -> bytes:
        """Return everything up to ``end`` and with it; nothing when the client ended before it said anything."""
        while end not in self._kept:
            more = await self._loop.sock_recv(self._source, _PIECE_BYTES)
            if not more and not self._kept:
                return b""
            if not more or len(self._kept) > _HEAD_BYTES_MAX:
                raise Garbled
            self._kept += more
        found, _, self._kept = self._kept.partition(end)
        return found + end

    async def take(self, count: int) -> AsyncIterator[bytes]:
        """Yield ``count`` bytes, as they come."""
        while count > 0:
            piece = self._kept or await self._loop.sock_recv(self._source, min(count, _PIECE_BYTES))
            if not piece:
                raise Garbled
            piece, self._kept = piece[:count], piece[count:]
            count -= len(piece)
            yield piece

    async def discard(self) -> None:
        """Read until the client ends."""
        while await self._loop.sock_recv(self._source, _PIECE_BYTES):
            pass


@dataclass(frozen=True, slots=True)
class Request:
    """One request without its body. ``length``: of the body; None: it comes in chunks."""

    method: str
    path: str
    head: bytes
    length: int | None
    expects_continue: bool

    async def body(self, inbox: Inbox) -> AsyncIterator[bytes]:
        """Yield the body as it stands on the wire; to be read once, before the next request."""
        if self.length is not None:
            async for piece in inbox.take(self.length):
                yield piece
            return
        while True:
            line = await inbox.until(b"\r\n")
            yield line
            if (size := _chunk_size(line)) == 0:
                break
            async for piece in inbox.take(size + 2):
                yield piece
        while (line := await inbox.until(b"\r\n")) != b"\r\n":
            yield line  # A trailer.
        yield line


async def read_request(inbox: Inbox) -> Request | None:
    """Return the next request, None when the client sends no more. Garbled."""
    head = await inbox.until(b"\r\n\r\n")
    if not head:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise Garbled
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    is_chunked = "chunked" in headers.get("transfer-encoding", "").lower()
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise Garbled
    return Request(
        method=parts[0],
        path=parts[1],
        head=head,
        length=None if is_chunked else int(length),
        expects_continue=headers.get("expect", "").lower() == "100-continue",
    )


def answer_bytes(
    request: Request, status: int, headers: tuple[tuple[str, str], ...], body: bytes, *, keep_alive: bool
) -> bytes:
    """Return a whole answer; the one to a HEAD has no body, as HTTP wants it."""
    lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += [] if keep_alive else ["Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if request.method == "HEAD" else body)


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.split(b";")[0], 16)
    except ValueError:
        raise Garbled from None
