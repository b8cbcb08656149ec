"""A network that changes what is sent through it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from yarl import URL

_PIECE_BYTES = 65536


@asynccontextmanager
async def garbling_proxy(endpoint: str, *, sent: bytes, arrived: bytes) -> AsyncIterator[str]:
    """Yield the endpoint of a relay to ``endpoint`` that replaces ``sent`` in requests by ``arrived``."""
    assert len(sent) == len(arrived)
    upstream = URL(endpoint)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection(upstream.host, upstream.port)
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(reader, to_writer, sent, arrived))
            group.create_task(_pump(to_reader, writer, b"", b""))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes, arrived: bytes) -> None:
    try:
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece.replace(sent, arrived) if sent else piece)
            await writer.drain()
    finally:
        writer.close()
