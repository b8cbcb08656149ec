"""A proxy that brings what a client sends to the server only after a while, as a long line does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_PIECE_BYTES = 256 * 1024
_PIECES_MAX = 256  # On their way at a time, of each connection: more would be sent than arrives in 50 ms.


@asynccontextmanager
async def delaying(host: str, server_port: int, *, delay_s: float) -> AsyncIterator[int]:
    """Listen on a port of this machine while the context lasts, and return it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection(host, server_port, limit=_PIECE_BYTES)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_later(reader, requests, delay_s))
                both.create_task(_later(answers, writer, 0.0))
        except* ConnectionError:
            pass
        finally:
            for end in (writer, requests):
                end.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=_PIECE_BYTES)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Hand on what is read, each piece so long after it came."""
    clock = asyncio.get_running_loop()
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_PIECES_MAX)

    async def read() -> None:
        piece = b"first"
        while piece:
            piece = await reader.read(_PIECE_BYTES)
            await pieces.put((clock.time() + delay_s, piece))

    async with asyncio.TaskGroup() as both:
        both.create_task(read())
        due_s, piece = await pieces.get()
        while piece:
            if (left_s := due_s - clock.time()) > 0:
                await asyncio.sleep(left_s)
            writer.write(piece)
            await writer.drain()
            due_s, piece = await pieces.get()
        with suppress(OSError):  # The other side may have gone already.
            writer.write_eof()
