"""A wire on which some bytes arrive as others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def garbling(port: int, *, sent: bytes, arrives: bytes) -> AsyncIterator[int]:
    """Yield a port that leads to ``port`` of this machine. ``sent`` must arrive in one piece to be found."""
    assert len(sent) == len(arrives)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(1024 * 1024):
                writer.write(piece.replace(sent, arrives))
                await writer.drain()
        except ConnectionError:
            pass  # The other side sees it too.
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(reader, upstream_writer))
            group.create_task(carry(upstream_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
