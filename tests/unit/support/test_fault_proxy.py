from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO
from random import Random

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.fault_proxy import Answer, FaultProxy, Hang, Pass, Refuse, ResetAfter, Throttle

BODY = Random(1).randbytes(3_000_000)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say everything again, then end."""
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def echoing() -> AsyncIterator[FaultProxy]:
    """A proxy before a server that says everything again."""
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        with FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
            yield proxy


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def said_again(proxy: FaultProxy, body: bytes) -> bytes:
    """Send ``body`` and return what comes back."""
    async with connected(proxy) as (reader, writer), asyncio.TaskGroup() as group:

        async def send() -> None:
            writer.write(body)
            await writer.drain()
            writer.write_eof()

        group.create_task(send())
        return await reader.read(-1)


async def received_until_reset(reader: asyncio.StreamReader) -> int:
    count = 0
    try:
        while piece := await reader.read(65_536):
            count += len(piece)
    except ConnectionResetError:
        return count
    raise AssertionError(f"the connection ended in order after {count} bytes")


async def test_bytes_go_through_both_ways_and_are_counted() -> None:
    async with echoing() as proxy:
        assert await said_again(proxy, BODY) == BODY
        assert await said_again(proxy, b"") == b""
        counts = proxy.counts
        assert (counts.connections, counts.upstream_bytes, counts.downstream_bytes) == (2, len(BODY), len(BODY))


async def test_refused_connections_are_refused_and_standing_ones_go_on() -> None:
    async with echoing() as proxy, connected(proxy) as (reader, writer):
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        proxy.set_mode(Refuse())
        with pytest.raises(ConnectionRefusedError):
            await said_again(proxy, b"two")
        writer.write(b"six")
        assert await reader.readexactly(3) == b"six"
        proxy.set_mode(Pass())
        assert await said_again(proxy, b"two") == b"two"


async def test_cut_resets_what_stands() -> None:
    async with echoing() as proxy, connected(proxy) as (reader, writer):
        writer.write(b"one")
        await reader.readexactly(3)
        proxy.cut()
        assert await received_until_reset(reader) == 0
        assert await said_again(proxy, b"two") == b"two"


async def test_hanging_connections_go_on_when_the_mode_changes() -> None:
    async with echoing() as proxy, connected(proxy) as (reader, writer):
        writer.write(b"one")
        await reader.readexactly(3)
        proxy.set_mode(Hang())
        writer.write(b"two")
        async with asyncio.TaskGroup() as group:
            late = group.create_task(said_again(proxy, b"late"))
            await asyncio.wrap_future(proxy.reached(lambda counts: counts.connections == 2))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.1)
            assert proxy.counts.upstream_bytes == 3
            proxy.set_mode(Pass())
            assert await reader.readexactly(3) == b"two"
        assert late.result() == b"late"


@pytest.mark.parametrize("limit", [0, 1, 65_536, 1_000_001])
async def test_downstream_is_reset_after_exactly_so_many_bytes(limit: int) -> None:
    async with echoing() as proxy, connected(proxy) as (reader, writer):
        proxy.set_mode(ResetAfter(downstream_bytes=limit))
        writer.write(BODY)
        assert await received_until_reset(reader) <= limit
        assert (proxy.counts.downstream_bytes, proxy.counts.resets) == (limit, 1)


async def test_upstream_is_reset_after_exactly_so_many_bytes_and_the_server_sees_it() -> None:
    seen: list[int] = []
    ended = asyncio.Event()

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await received_until_reset(reader))
        writer.close()
        ended.set()

    async with await asyncio.start_server(sink, "127.0.0.1", 0) as server:
        with FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
            proxy.set_mode(ResetAfter(upstream_bytes=100_000))
            async with connected(proxy) as (reader, writer):
                writer.write(BODY)
                await received_until_reset(reader)
                await ended.wait()
            assert seen[0] <= proxy.counts.upstream_bytes == 100_000


async def test_only_so_many_connections_are_reset() -> None:
    async with echoing() as proxy:
        proxy.set_mode(ResetAfter(upstream_bytes=2, connections=1))
        async with connected(proxy) as (reader, writer):
            writer.write(b"one")
            await received_until_reset(reader)
        assert await said_again(proxy, b"two") == b"two"


async def test_bytes_of_an_earlier_mode_do_not_count() -> None:
    async with echoing() as proxy, connected(proxy) as (reader, writer):
        writer.write(b"12345678")
        await reader.readexactly(8)
        proxy.set_mode(ResetAfter(upstream_bytes=5))
        writer.write(b"1234")
        assert await reader.readexactly(4) == b"1234"
        writer.write(b"1")
        await received_until_reset(reader)


async def test_throttled_bytes_take_their_time() -> None:
    async with echoing() as proxy:
        proxy.set_mode(Throttle(500_000))
        started_s = asyncio.get_running_loop().time()
        assert await said_again(proxy, BODY[:200_000]) == BODY[:200_000]
        assert 0.3 < asyncio.get_running_loop().time() - started_s < 2.5


async def test_a_server_that_is_gone_resets_the_client() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with FaultProxy("127.0.0.1", unused.getsockname()[1]) as proxy, pytest.raises(ConnectionResetError):
            async with connected(proxy) as (reader, _):
                await reader.read(1)  # It may even come while the connection is made.


def test_it_serves_a_test_that_blocks() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        with (
            FaultProxy("127.0.0.1", server.getsockname()[1]) as proxy,
            socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client,
            server.accept()[0] as accepted,
        ):
            client.sendall(b"question")
            assert proxy.reached(lambda counts: counts.upstream_bytes == 8).result(5).connections == 1
            assert accepted.recv(100) == b"question"


def test_closing_it_resets_what_stands_and_frees_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with FaultProxy("127.0.0.1", server.getsockname()[1]) as proxy:
            client = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
            server.settimeout(5)
            accepted, _ = server.accept()
        with client, accepted:
            for one in (client, accepted):
                one.settimeout(5)
                with pytest.raises(ConnectionResetError):
                    one.recv(1)
        with socket.create_server(("127.0.0.1", proxy.port)):
            pass


def test_it_does_not_answer_what_it_does_not_understand() -> None:
    with FaultProxy("127.0.0.1", 1) as proxy, pytest.raises(ValueError, match="HTTP"):
        proxy.set_mode(Answer(status=503))


# HTTP


@contextmanager
def before(server: TestServer) -> Iterator[FaultProxy]:
    assert server.port is not None
    with FaultProxy("127.0.0.1", server.port, speaks_http=True) as proxy:
        yield proxy


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[FaultProxy, aiohttp.ClientSession, list[bytes]]]:
    """A proxy before an HTTP server that keeps what it gets and says it again; a client on one connection."""
    got: list[bytes] = []

    async def keep(request: web.Request) -> web.Response:
        got.append(await request.read())
        return web.Response(body=got[-1])

    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", keep)
    server = TestServer(app, host="127.0.0.1")
    async with server:
        with before(server) as proxy:
            connector = aiohttp.TCPConnector(limit=1)
            async with aiohttp.ClientSession(f"http://127.0.0.1:{proxy.port}", connector=connector) as client:
                yield proxy, client, got


async def status(client: aiohttp.ClientSession, method: str, path: str, body: object = b"body", **more: bool) -> int:
    if body is BODY:
        body = BytesIO(BODY)  # aiohttp wants large ones to be files.
    async with client.request(method, path, data=body, **more) as response:  # type: ignore[arg-type]  # expect100
        await response.read()
        return response.status


async def chunks() -> AsyncIterator[bytes]:
    for start in range(0, 300_000, 100_000):
        yield BODY[start : start + 100_000]


async def test_requests_pass_whatever_the_form_of_their_bodies() -> None:
    async with serving() as (proxy, client, got):
        for body in (b"", b"body", BODY, chunks()):
            assert await status(client, "PUT", "/key", body) == 200
        assert await status(client, "PUT", "/key", b"expected", expect100=True) == 200
        assert got == [b"", b"body", BODY, BODY[:300_000], b"expected"]
        assert (proxy.counts.requests, proxy.counts.connections, proxy.counts.answered) == (5, 1, 0)


@pytest.mark.parametrize("code", [401, 503, 507])
async def test_the_next_requests_are_answered_and_the_one_after_them_passes(code: int) -> None:
    async with serving() as (proxy, client, got):
        await status(client, "PUT", "/key", b"before")
        proxy.set_mode(Answer(status=code, body=b"no", headers=(("Retry-After", "1"),), requests=2))
        async with client.put("/key", data=BytesIO(BODY)) as response:
            assert (response.status, await response.read(), response.headers["Retry-After"]) == (code, b"no", "1")
        assert await status(client, "PUT", "/key", chunks()) == code
        assert await status(client, "PUT", "/key", b"after") == 200
        assert got == [b"before", b"after"]
        assert (proxy.counts.answered, proxy.counts.connections) == (2, 1)


async def test_head_and_expecting_requests_are_answered_too() -> None:
    async with serving() as (proxy, client, got):
        proxy.set_mode(Answer(status=503, body=b"slow down"))
        assert await status(client, "HEAD", "/key", None) == 503
        assert await status(client, "PUT", "/key", b"expected", expect100=True) == 503
        proxy.set_mode(Pass())
        assert await status(client, "PUT", "/key", b"after") == 200
        assert got == [b"after"]


async def statuses(client: aiohttp.ClientSession, count: int) -> list[int]:
    return [await status(client, "GET", f"/{number}", None) for number in range(count)]


async def test_a_share_is_drawn_by_the_seed() -> None:
    async with serving() as (proxy, client, _):
        runs = []
        for seed in (1, 1, 2):
            proxy.set_mode(Answer(status=500, share=0.3, seed=seed))
            runs.append(await statuses(client, 60))
        assert runs[0] == runs[1] != runs[2]
        assert 8 <= runs[0].count(500) <= 28


async def test_only_requests_that_match_are_answered() -> None:
    async with serving() as (proxy, client, _):
        proxy.set_mode(Answer(status=403, matches=lambda method, path: (method, path) == ("GET", "/1"), requests=1))
        assert await statuses(client, 3) == [200, 403, 200]
        assert await statuses(client, 3) == [200, 200, 200]


async def test_a_server_that_is_gone_can_still_be_answered_for() -> None:
    with FaultProxy("127.0.0.1", 1, speaks_http=True) as proxy:
        proxy.set_mode(Answer(status=503))
        async with aiohttp.ClientSession(f"http://127.0.0.1:{proxy.port}") as client:
            assert await status(client, "GET", "/key", None) == 503


async def test_byte_modes_hold_for_http_too() -> None:
    async with serving() as (proxy, client, got):
        proxy.set_mode(ResetAfter(upstream_bytes=1_000_000, connections=1))
        with pytest.raises(aiohttp.ClientError):
            await status(client, "POST", "/key", BODY)  # A PUT is sent once more by aiohttp itself.
        assert await status(client, "PUT", "/key", BODY) == 200
        assert [len(body) for body in got] == [len(BODY)]


async def test_what_is_not_http_is_reset() -> None:
    async with serving() as (proxy, _, _), connected(proxy) as (reader, writer):
        writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        await received_until_reset(reader)
