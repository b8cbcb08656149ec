"""What the drivers of HTTP stores rely on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from targets.errors import Misconfigured, Unavailable
from targets.http.client import HttpClient, read_into


@asynccontextmanager
async def opened() -> AsyncIterator[HttpClient]:
    client = HttpClient(connections_max=2)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def echoing(asked: list[str]) -> AsyncIterator[URL]:
    """Answer with the body that was sent; ``asked`` are the paths as they came, and the lengths."""

    async def answer(request: web.Request) -> web.Response:
        asked.append(f"{request.raw_path} {request.headers.get('Content-Length')}")
        return web.Response(body=await request.read(), headers={"Location": "/elsewhere"}, status=307)

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield server.make_url("/")


@pytest.mark.parametrize("size_bytes", [0, 1, 64 * 1024, 64 * 1024 + 1, 1_000_000])
@pytest.mark.parametrize("kind", [bytes, memoryview])
async def test_body_arrives_with_its_length(kind: type[bytes | memoryview], size_bytes: int) -> None:
    body = bytes(range(256)) * (size_bytes // 256 + 1)
    asked: list[str] = []
    async with echoing(asked) as url, opened() as client:
        sent = kind(body)[:size_bytes]
        async with client.request("PUT", url, headers={}, body=sent) as answer:
            assert await answer.read() == body[:size_bytes]
    assert asked == [f"/ {size_bytes}"]


@pytest.mark.parametrize("size_bytes", [0, 7, 1_000_000])
async def test_what_is_around_the_body_arrives_with_it(size_bytes: int) -> None:
    asked: list[str] = []
    async with echoing(asked) as url, opened() as client:
        body, around = memoryview(bytes(size_bytes)), (b"before", b"after")
        async with client.request("POST", url, headers={}, body=body, around=around) as answer:
            assert await answer.read() == b"before" + bytes(size_bytes) + b"after"
    assert asked == [f"/ {size_bytes + 11}"]


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_caller_has_its_buffer_back_when_it_is_cancelled(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_cancel_and_reuse(bytearray(50_000_000)))


async def _cancel_and_reuse(body: bytearray) -> None:
    async with hanging() as url, opened() as client:

        async def put() -> None:
            with memoryview(body) as view:
                async with client.request("PUT", url, headers={}, body=view):
                    pass

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await put()
        body.clear()  # BufferError if anything still refers to it.


async def test_url_is_sent_as_it_is_and_redirects_are_the_callers() -> None:
    asked: list[str] = []
    async with (
        echoing(asked) as url,
        opened() as client,
        client.request("GET", URL(f"{url}a%2Fb/%C3%B6?c=%20", encoded=True), headers={}) as answer,
    ):
        assert answer.status == 307
    assert asked == ["/a%2Fb/%C3%B6?c=%20 None"]


@pytest.mark.parametrize("body", [b"", b"content", bytes(200_000)])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET"])
async def test_nothing_is_sent_again_unasked(method: str, body: bytes) -> None:
    asked: list[bytes] = []

    async def answer_first_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                asked.append(head)
                if len(asked) > 1:
                    return
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(answer_first_only, "127.0.0.1", 0) as server, opened() as client:
        url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        async with client.request("GET", url, headers={}):
            pass
        with pytest.raises(Unavailable):
            async with client.request(method, url, headers={}, body=body):
                pass
    assert len(asked) == 2


async def test_refused_connection_is_unavailable() -> None:
    async with opened() as client:
        with pytest.raises(Unavailable, match=r"GET http://127\.0\.0\.1:1/"):
            async with client.request("GET", URL("http://127.0.0.1:1/"), headers={}):
                pass


async def test_buffer_is_filled_as_far_as_the_body_goes() -> None:
    async with echoing([]) as url, opened() as client:
        for size_bytes, filled in ((3, 3), (7, 7), (9, 7)):
            room = bytearray(size_bytes)
            async with client.request("PUT", url, headers={}, body=b"content") as answer:
                assert await read_into(answer, memoryview(room)) == filled
            assert room[:filled] == b"content"[:filled]


async def test_buffer_is_filled_from_an_answer_that_comes_in_chunks() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for chunk in (b"con", b"te", b"nt"):
            await response.write(chunk)
        return response

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server, opened() as client:
        room = bytearray(9)
        async with client.request("GET", server.make_url("/"), headers={}) as response:
            assert await read_into(response, memoryview(room)) == 7
        assert room == b"content\0\0"


def test_missing_certificates_are_told() -> None:
    with pytest.raises(Misconfigured, match="option ca_file: /absent: No such file"):
        HttpClient(connections_max=1, ca_file="/absent")


@asynccontextmanager
async def hanging() -> AsyncIterator[URL]:
    """Take connections and read nothing."""
    done = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.transport.abort()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        try:
            yield URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        finally:
            done.set()
