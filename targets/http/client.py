"""Requests over kept connections: bodies without copies, foreign errors translated in one place."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from yarl import URL

from targets.errors import Misconfigured, TargetError, TimedOut, Unavailable

# As many as a target may have operations: who limits those has as many connections as they take, and no more.
CONNECTIONS_MAX = 1024
# A body up to this size goes out in one piece with its headers: copying it costs less than a second system call.
_SMALL_BYTES = 64 * 1024
# A piece of a larger body that is handed over at a time, as a copy: transports of uvloop, and of asyncio from
# Python 3.12 on, refer to what they have not sent yet, so would read the caller's buffer after a cancellation.
_PIECE_BYTES = 256 * 1024
_READ_BUFFER_BYTES = 1024 * 1024


class HttpClient:
    """Sends the requests of one target. Its session belongs to the loop of the first request.

    ``connections_max``: connections kept and used at a time. ``connect_timeout_s``: until one stands; the
    deadline of a whole operation is that of the retry wrapper. ``ca_file``: certificates to trust instead of
    the system's; Misconfigured when it cannot be read.
    """

    def __init__(self, *, connections_max: int, connect_timeout_s: float = 10.0, ca_file: str | None = None) -> None:
        self._connections_max = connections_max
        self._connect_timeout_s = connect_timeout_s
        self._tls = _tls_context(ca_file)
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str],
        body: memoryview | bytes = b"",
        around: tuple[bytes, bytes] = (b"", b""),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request, once, and yield its answer, whatever its status. Unavailable, TimedOut, Misconfigured.

        ``url`` is sent as it is, unquoted and unjoined, since signatures cover it. ``around`` is sent before and
        after the body. Leaving early closes the connection: nothing goes on.
        """
        data = _data(body, around)
        try:
            with translated(method, url):
                async with self._opened().request(
                    method, url, headers=headers, data=data, allow_redirects=False
                ) as response:
                    yield response
        finally:
            if isinstance(data, _Pieces):
                data.let_go()

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections_max, ssl=self._tls, keepalive_timeout=30),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s),
                auto_decompress=False,  # What was stored comes back as it is.
                read_bufsize=_READ_BUFFER_BYTES,
                skip_auto_headers=("Accept-Encoding",),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            # Else what a kept connection lost is sent again unasked: a conditional put that was carried out would
            # find its own object in the way, and a part of a body would go out as if it were all of it.
            self._session._retry_connection = False  # noqa: SLF001 - there is no public switch
        return self._session


async def read_into(response: aiohttp.ClientResponse, buffer: memoryview) -> int:
    """Fill ``buffer`` from the body as far as it goes and return how far that is."""
    filled = 0
    while filled < buffer.nbytes:
        piece, _ = await response.content.readchunk()  # What has come in one piece: read() would join several of them.
        if not piece and response.content.at_eof():
            break
        end = min(filled + len(piece), buffer.nbytes)
        buffer[filled:end] = memoryview(piece)[: end - filled]
        filled = end
    return filled


@contextmanager
def translated(method: str, url: URL) -> Iterator[None]:
    """Raise what aiohttp raises as the target's own errors, whose message begins with the request."""
    try:
        yield
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _translation(error, f"{method} {url.origin()}{url.raw_path}") from error


def _translation(error: Exception, doing: str) -> TargetError:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return Misconfigured(f"{doing}: the certificate is not trusted: {error}")
    if isinstance(error, aiohttp.InvalidURL):
        return Misconfigured(f"{doing}: not a url")
    if isinstance(error, TimeoutError):
        return TimedOut(f"{doing}: no answer in time")
    return Unavailable(f"{doing}: {str(error) or type(error).__name__}")


def _data(body: memoryview | bytes, around: tuple[bytes, bytes]) -> bytes | _Pieces | None:
    if len(body) <= _SMALL_BYTES:
        return b"".join((around[0], body, around[1])) or None
    return _Pieces(memoryview(body), around)


class _Pieces(Payload):
    """A body in pieces. What sends them is a task of aiohttp, which ends a moment after the request was left.

    Only what is made here refers to the body, so that it can let go of it at once; aiohttp's own payloads slice it.
    """

    _autoclose = True  # There is no file to close.

    def __init__(self, view: memoryview, around: tuple[bytes, bytes]) -> None:
        super().__init__(view)
        self._size = len(around[0]) + view.nbytes + len(around[1])
        self._around = around
        self._view = view

    async def write(self, writer: AbstractStreamWriter) -> None:
        await writer.write(self._around[0])
        for start in range(0, self._view.nbytes, _PIECE_BYTES):
            with self._view[start : start + _PIECE_BYTES] as piece:
                copy = bytes(piece)
            await writer.write(copy)
            await asyncio.sleep(0)  # The transport may take everything at once; others want their turn.
        await writer.write(self._around[1])

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self.write(writer)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return what an error message may show of the body: nothing."""
        return ""

    def let_go(self) -> None:
        self._view.release()


def _tls_context(ca_file: str | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one.
        raise Misconfigured(f"option ca_file: {ca_file}: {error.strerror or error}") from error
