"""Requests over kept connections: bodies without copies, foreign errors translated in one place."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import aiohttp
from yarl import URL

from targets.errors import Misconfigured, TimedOut, Unavailable

# A piece of a body that is handed over at a time. From 3.12 on a transport refers to what it has not sent yet
# instead of copying it, and would go on reading the caller's buffer after a cancellation.
_PIECE_BYTES = 256 * 1024
_TRANSPORT_COPIES = sys.version_info < (3, 12)
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
        """Send one request and yield its answer, whatever its status. Unavailable, TimedOut, Misconfigured.

        ``url`` is sent as it is, unquoted and unjoined, since signatures cover it. ``around`` is sent before and
        after the body. Leaving early closes the connection: nothing goes on.
        """
        parts = (around[0], body, around[1])
        size_bytes = sum(map(len, parts))
        with translated(f"{method} {url.origin()}{url.raw_path}"):
            async with self._opened().request(
                method,
                url,
                headers={**headers, "Content-Length": str(size_bytes)}
                if size_bytes or method in ("PUT", "POST")
                else headers,
                data=_pieces(parts) if size_bytes else None,
                allow_redirects=False,
            ) as response:
                yield response

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
        return self._session


async def read_into(response: aiohttp.ClientResponse, buffer: memoryview) -> int:
    """Fill ``buffer`` from the body as far as it goes and return how far that is."""
    filled = 0
    while filled < buffer.nbytes and (piece := await response.content.read(buffer.nbytes - filled)):
        buffer[filled : filled + len(piece)] = piece
        filled += len(piece)
    return filled


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise what aiohttp raises as the target's own errors; ``doing`` begins the message."""
    try:
        yield
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError) as error:
        raise Misconfigured(f"{doing}: the certificate is not trusted: {error}") from error
    except aiohttp.InvalidURL as error:
        raise Misconfigured(f"{doing}: not a url") from error
    except TimeoutError as error:
        raise TimedOut(f"{doing}: no answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable(f"{doing}: {str(error) or type(error).__name__}") from error


async def _pieces(parts: Iterable[memoryview | bytes]) -> AsyncIterator[memoryview | bytes]:
    for part in parts:
        with memoryview(part) as view:
            for start in range(0, view.nbytes, _PIECE_BYTES):
                with view[start : start + _PIECE_BYTES] as piece:
                    yield piece if _TRANSPORT_COPIES else bytes(piece)
                    await asyncio.sleep(0)  # The transport may take everything at once; others want their turn.


def _tls_context(ca_file: str | None) -> ssl.SSLContext | bool:
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one.
        raise Misconfigured(f"option ca_file: {ca_file}: {error.strerror or error}") from error
