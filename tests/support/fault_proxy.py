"""A proxy between a client and a server that does to their connections what networks and gateways do.

It knows nothing of the protocol that it carries, except HTTP if it is told to (``speaks_http``), so that it can
answer requests instead of the server. It runs in a thread of its own: a test may block or use its own loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import struct
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.support.http_requests import Garbled, Inbox, Request, answer_bytes, read_request

T = TypeVar("T")
_PIECE_BYTES = 64 * 1024
_PIECES_PER_S = 20  # How smoothly a throttled stream flows.
_CONTROL_TIMEOUT_S = 10.0
_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Pass:
    """Everything goes through."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """New connections are refused; those that stand go on until ``cut``."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Connections are accepted and nothing is forwarded any more, neither way, until the mode changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetAfter:
    """A connection is reset (RST, to both sides) when so many bytes went through it in this mode, none after them.

    ``connections``: to how many this happens; None: to all.
    """

    upstream_bytes: int | None = None
    downstream_bytes: int | None = None
    connections: int | None = None


@dataclass(frozen=True, slots=True)
class Throttle:
    """So many bytes a second go through each way, over all connections."""

    bytes_per_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """HTTP requests are answered here and never reach the server.

    ``requests``: how many, None: all; ``share``: of those that ``matches`` (method, path), drawn by ``seed``.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    requests: int | None = None
    share: float = 1.0
    seed: int = 0
    matches: Callable[[str, str], bool] | None = None


Mode = Pass | Refuse | Hang | ResetAfter | Throttle | Answer


@dataclass(slots=True)
class Counts:
    """What went through so far. ``answered``: requests that were answered here; ``resets``: by ResetAfter."""

    connections: int = 0
    upstream_bytes: int = 0
    downstream_bytes: int = 0
    requests: int = 0
    answered: int = 0
    resets: int = 0


class Way(StrEnum):
    UP = "upstream_bytes"
    DOWN = "downstream_bytes"


class _Reset(Exception):
    """The connection ends here, for both sides."""


@dataclass(slots=True, eq=False)
class _Connection:
    client: socket.socket
    upstream: socket.socket | None = None
    is_reset: bool = False
    mode: Mode | None = None
    in_this_mode: dict[Way, int] = field(default_factory=dict)

    def close(self) -> None:
        for one in (self.client, self.upstream):
            if one is not None:
                if self.is_reset:  # Closing then sends RST and forgets what was not sent yet.
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.close()


class FaultProxy:
    """Forwards ``port`` of this machine to the server at ``host`` and ``upstream_port``; a context manager.

    ``set_mode`` holds at once, also for connections that stand. Buffers are those of the kernel and a piece each way.
    """

    def __init__(self, host: str, upstream_port: int, *, speaks_http: bool = False) -> None:
        self.port = 0
        self._server = (host, upstream_port)
        self._speaks_http = speaks_http
        self._mode: Mode = Pass()
        self._left: int | None = None  # How often the mode may still strike.
        self._random = Random(0)
        self._free_at_s = dict.fromkeys(Way, 0.0)
        self._counts = Counts()
        self._awaited: list[tuple[Callable[[Counts], bool], concurrent.futures.Future[Counts]]] = []
        self._serving: dict[asyncio.Task[None], _Connection] = {}
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="fault-proxy")

    def __enter__(self) -> Self:
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._running = self._threads.submit(lambda: asyncio.run(self._main(started)))
        concurrent.futures.wait([started, self._running], return_when=concurrent.futures.FIRST_COMPLETED)
        if not started.done():
            self._running.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Reset all connections and end. An error of the proxy itself is raised."""
        with suppress(RuntimeError):  # The loop is closed already when the proxy failed.
            self._loop.call_soon_threadsafe(self._stop.set)
        try:
            self._running.result(_CONTROL_TIMEOUT_S)
        finally:
            self._threads.shutdown()

    def set_mode(self, mode: Mode) -> None:
        """Return when ``mode`` holds."""
        if isinstance(mode, Answer) and not self._speaks_http:
            raise ValueError("this proxy does not speak HTTP, so it cannot answer")
        self._control(self._change(mode))

    def cut(self) -> None:
        """Reset every connection that stands."""
        self._control(self._cut())

    @property
    def counts(self) -> Counts:
        """What went through until now."""
        return replace(self._counts)

    def reached(self, condition: Callable[[Counts], bool]) -> concurrent.futures.Future[Counts]:
        """Return a future of the counts that fulfil ``condition``: ``.result(10)``, or ``asyncio.wrap_future``."""
        future: concurrent.futures.Future[Counts] = concurrent.futures.Future()
        self._control(self._await(condition, future))
        return future

    def _control(self, doing: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(_CONTROL_TIMEOUT_S)

    # What follows runs in the proxy's own loop.

    async def _main(self, started: concurrent.futures.Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._changed = asyncio.Event()
        # Bound and never listening: it keeps the port ours while connections are refused.
        with _bound(0) as guard:
            self.port = guard.getsockname()[1]
            async with asyncio.TaskGroup() as self._group:
                self._listen()
                started.set_result(None)
                await self._stop.wait()
                self._accepting.cancel()
                await self._cut()
        for _, future in self._awaited:
            future.cancel()

    async def _change(self, mode: Mode) -> None:
        self._mode = mode
        self._left = _strikes_of(mode)
        self._random = Random(mode.seed) if isinstance(mode, Answer) else self._random
        self._changed.set()
        self._changed = asyncio.Event()
        if isinstance(mode, Refuse) or self._accepting.done():
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        if not isinstance(mode, Refuse) and self._accepting.done():
            self._listen()

    async def _cut(self) -> None:
        tasks = [*self._serving]
        for task in tasks:
            self._serving[task].is_reset = True
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _await(self, condition: Callable[[Counts], bool], future: concurrent.futures.Future[Counts]) -> None:
        self._awaited.append((condition, future))
        self._tell()

    def _count(self, **more: int) -> None:
        for name, count in more.items():
            setattr(self._counts, name, getattr(self._counts, name) + count)
        self._tell()

    def _tell(self) -> None:
        for entry in [entry for entry in self._awaited if entry[0](self._counts)]:
            self._awaited.remove(entry)
            if entry[1].set_running_or_notify_cancel():
                entry[1].set_result(replace(self._counts))

    def _listen(self) -> None:
        listener = _bound(self.port)
        listener.listen(_BACKLOG)
        self._accepting = self._group.create_task(self._accept(listener))
        self._accepting.add_done_callback(lambda _: listener.close())

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = await self._loop.sock_accept(listener)
            client.setblocking(False)
            connection = _Connection(client)
            task = self._group.create_task(self._serve(connection))
            self._serving[task] = connection
            task.add_done_callback(self._ended)
            self._count(connections=1)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._serving.pop(task).close()

    async def _serve(self, connection: _Connection) -> None:
        carry = self._carry_requests if self._speaks_http else self._carry_bytes
        try:
            async with asyncio.TaskGroup() as group:
                await carry(connection, group)
        except* (_Reset, Garbled, OSError):
            connection.is_reset = True  # What one side did, or suffered, the other side sees too.

    async def _carry_bytes(self, connection: _Connection, group: asyncio.TaskGroup) -> None:
        upstream = await self._connected(connection, group)
        await self._pump(connection, connection.client, upstream, Way.UP)

    async def _carry_requests(self, connection: _Connection, group: asyncio.TaskGroup) -> None:
        inbox = Inbox(self._loop, connection.client)
        while (request := await read_request(inbox)) is not None:
            self._count(requests=1)
            if (answer := self._answer_to(request)) is not None:
                if not await self._answered(connection, inbox, request, answer):
                    return
                continue
            upstream = connection.upstream or await self._connected(connection, group)
            await self._forward(connection, upstream, request.head, Way.UP)
            async for piece in request.body(inbox):
                await self._forward(connection, upstream, piece, Way.UP)
        if connection.upstream is not None:
            _shut(connection.upstream)

    def _answer_to(self, request: Request) -> Answer | None:
        mode = self._mode
        if not isinstance(mode, Answer) or self._left == 0:
            return None
        if mode.matches is not None and not mode.matches(request.method, request.path):
            return None
        if self._random.random() >= mode.share:
            return None
        self._strike()
        return mode

    async def _answered(self, connection: _Connection, inbox: Inbox, request: Request, answer: Answer) -> bool:
        """Answer, and tell whether the connection may be used again."""
        stays = not request.expects_continue  # Whether a body comes after all, nobody knows.
        if stays:
            async for _ in request.body(inbox):
                pass
        reply = answer_bytes(request, answer.status, answer.headers, answer.body, keep_alive=stays)
        await self._loop.sock_sendall(connection.client, reply)
        self._count(answered=1)
        if not stays:
            _shut(connection.client)
            await inbox.discard()
        return stays

    async def _connected(self, connection: _Connection, group: asyncio.TaskGroup) -> socket.socket:
        while isinstance(self._mode, Hang):
            await self._changed.wait()
        connection.upstream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.upstream.setblocking(False)
        await self._loop.sock_connect(connection.upstream, self._server)
        for one in (connection.upstream, connection.client):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        group.create_task(self._pump(connection, connection.upstream, connection.client, Way.DOWN))
        return connection.upstream

    async def _pump(self, connection: _Connection, source: socket.socket, sink: socket.socket, way: Way) -> None:
        while piece := await self._loop.sock_recv(source, _PIECE_BYTES):
            await self._forward(connection, sink, piece, way)
        while isinstance(self._mode, Hang):
            await self._changed.wait()
        _shut(sink)

    async def _forward(self, connection: _Connection, sink: socket.socket, piece: bytes, way: Way) -> None:
        with memoryview(piece) as rest:
            sent = 0
            while sent < rest.nbytes:
                size_bytes = await self._allowed(connection, rest.nbytes - sent, way)
                await self._loop.sock_sendall(sink, rest[sent : sent + size_bytes])
                sent += size_bytes
                connection.in_this_mode[way] += size_bytes
                self._count(**{way.value: size_bytes})
                self._reset_if_due(connection, way)

    async def _allowed(self, connection: _Connection, size_bytes: int, way: Way) -> int:
        """Return how many of the bytes may be sent now; wait until it is one at least."""
        while isinstance(self._mode, Hang):
            await self._changed.wait()
        mode = self._mode
        if connection.mode is not mode:
            connection.mode, connection.in_this_mode = mode, dict.fromkeys(Way, 0)
        if isinstance(mode, ResetAfter) and (limit := getattr(mode, way.value)) is not None and self._left != 0:
            self._reset_if_due(connection, way)
            return min(size_bytes, int(limit) - connection.in_this_mode[way])
        if isinstance(mode, Throttle):
            size_bytes = min(size_bytes, max(1, mode.bytes_per_s // _PIECES_PER_S))
            begins_s = max(self._loop.time(), self._free_at_s[way])
            self._free_at_s[way] = begins_s + size_bytes / mode.bytes_per_s
            await asyncio.sleep(self._free_at_s[way] - self._loop.time())
        return size_bytes

    def _reset_if_due(self, connection: _Connection, way: Way) -> None:
        mode = connection.mode
        if mode is not self._mode or not isinstance(mode, ResetAfter) or self._left == 0:
            return
        limit = getattr(mode, way.value)
        if limit is not None and connection.in_this_mode[way] >= limit:
            self._strike()
            self._count(resets=1)
            raise _Reset

    def _strike(self) -> None:
        if self._left is not None:
            self._left -= 1


def _strikes_of(mode: Mode) -> int | None:
    if isinstance(mode, ResetAfter):
        return mode.connections
    return mode.requests if isinstance(mode, Answer) else None


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _shut(sink: socket.socket) -> None:
    """Tell that nothing more comes; the other way stays open."""
    with suppress(OSError):  # It is gone already.
        sink.shutdown(socket.SHUT_WR)
