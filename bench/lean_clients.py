"""The leanest client of each protocol: one request an object, and nothing that a driver is for.

They retry nothing, map no errors, know no ranges, bound no memory, and check nothing but the status and the
length. Each key is another one, since the urls of keys that come again would be cached.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import google_crc32c
from yarl import URL

from targets.s3.signing import Keys, signed

CONNECTIONS_MAX = 32
_OK = (200, 201)


class LeanClient(Protocol):
    """Stores and reads many objects, ``concurrency`` at a time."""

    async def put_all(self, keys: Sequence[str], body: bytes, *, concurrency: int) -> None: ...

    async def get_all(self, keys: Sequence[str], size_bytes: int, *, concurrency: int) -> None: ...


async def for_each(keys: Sequence[str], concurrency: int, do: Callable[[str], Awaitable[None]]) -> None:
    """Do something for each key, ``concurrency`` at a time."""
    waiting = iter(keys)

    async def worker() -> None:
        for key in waiting:
            await do(key)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())


class HttpLean:
    """Sends what ``put`` and ``get`` make of a key: method, url, headers, body."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        put: Callable[[str, bytes], tuple[str, URL, dict[str, str], Any]],
        get: Callable[[str], tuple[URL, dict[str, str]]],
    ) -> None:
        self._session = session
        self._put = put
        self._get = get

    async def put_all(self, keys: Sequence[str], body: bytes, *, concurrency: int) -> None:
        async def put(key: str) -> None:
            method, url, headers, data = self._put(key, body)
            async with self._session.request(
                method, url, headers=headers, data=data, skip_auto_headers=("Content-Type",)
            ) as response:
                await response.read()
                assert response.status in _OK, f"{method} {url}: {response.status}"

        await for_each(keys, concurrency, put)

    async def get_all(self, keys: Sequence[str], size_bytes: int, *, concurrency: int) -> None:
        async def get(key: str) -> None:
            url, headers = self._get(key)
            async with self._session.get(url, headers=headers) as response:
                content = await response.read()
                assert response.status in _OK, f"GET {url}: {response.status}"
                assert len(content) == size_bytes, f"GET {url}: {len(content)} bytes"

        await for_each(keys, concurrency, get)


@asynccontextmanager
async def s3(bucket_url: str, keys: tuple[str, str]) -> AsyncIterator[LeanClient]:
    """Sign the headers and leave the payload unsigned."""
    who = Keys(access_key=keys[0], secret_key=keys[1])

    def sign(method: str, key: str) -> tuple[URL, dict[str, str]]:
        url = URL(f"{bucket_url}/{key}", encoded=True)
        return url, signed(method, url, {}, keys=who, region="us-east-1", now=datetime.now(UTC))

    async with _session() as session:
        yield HttpLean(session, lambda key, body: ("PUT", *sign("PUT", key), body), lambda key: sign("GET", key))


@asynccontextmanager
async def swift(auth_url: str, user: str, key: str, container: str) -> AsyncIterator[LeanClient]:
    """Log in once."""
    async with _session() as session:
        login = {"X-Auth-User": user, "X-Auth-Key": key}
        async with session.get(auth_url, headers=login) as response:
            token = {"X-Auth-Token": response.headers["X-Auth-Token"]}
            place = f"{response.headers['X-Storage-Url']}/{container}"

        def url(key: str) -> URL:
            return URL(f"{place}/{key}", encoded=True)

        yield HttpLean(session, lambda key, body: ("PUT", url(key), token, body), lambda key: (url(key), token))


@asynccontextmanager
async def gcs(endpoint: str, bucket: str) -> AsyncIterator[LeanClient]:
    """Upload metadata with a CRC-32C and the body in one request; what is read is not compared."""
    upload = URL(f"{endpoint}/upload/storage/v1/b/{bucket}/o?uploadType=multipart", encoded=True)

    def put(key: str, body: bytes) -> tuple[str, URL, dict[str, str], Any]:
        crc32c = base64.b64encode(google_crc32c.value(body).to_bytes(4, "big")).decode()
        head = (
            "--B\r\nContent-Type: application/json\r\n\r\n"
            f"{json.dumps({'name': key, 'crc32c': crc32c})}\r\n"
            "--B\r\nContent-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = b"\r\n--B--\r\n"
        headers = {
            "Content-Type": "multipart/related; boundary=B",
            "Content-Length": str(len(head) + len(body) + len(tail)),
        }
        return "POST", upload, headers, _pieces(head, body, tail)

    def get(key: str) -> tuple[URL, dict[str, str]]:
        name = key.replace("/", "%2F")
        return URL(f"{endpoint}/storage/v1/b/{bucket}/o/{name}?alt=media", encoded=True), {}

    async with _session() as session:
        yield HttpLean(session, put, get)


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


class RadosLean:
    """A bare loop over the binding: no event loop takes part, which stands still meanwhile. Creates exclusively."""

    def __init__(self, binding: Any, pool: Any) -> None:
        self._binding = binding
        self._pool = pool

    async def put_all(self, keys: Sequence[str], body: bytes, *, concurrency: int) -> None:
        def put(key: str, ended: Callable[..., None]) -> None:
            with self._binding.WriteOpCtx() as op:
                op.new(self._binding.LIBRADOS_CREATE_EXCLUSIVE)
                op.write_full(body)
                self._pool.operate_aio_write_op(op, key, ended)

        self._all(keys, concurrency, put)

    async def get_all(self, keys: Sequence[str], size_bytes: int, *, concurrency: int) -> None:
        self._all(keys, concurrency, lambda key, ended: self._pool.aio_read(key, size_bytes, 0, ended), size_bytes)

    def _all(
        self, keys: Sequence[str], concurrency: int, start: Callable[[str, Callable[..., None]], Any], result: int = 0
    ) -> None:
        room = threading.Semaphore(concurrency)
        results: list[int] = []

        def ended(completion: Any, *_content: bytes) -> None:
            results.append(completion.get_return_value())
            room.release()

        for key in keys:
            room.acquire()
            start(key, ended)
        for _ in range(concurrency):
            room.acquire()
        assert results == [result] * len(keys), f"expected {result} of each, got {sorted(set(results))}"


@asynccontextmanager
async def rados(conf: Path, pool: str, namespace: str) -> AsyncIterator[LeanClient]:
    """Connect with the distribution's binding. RuntimeError where it is missing."""
    try:
        binding = import_module("rados")  # The distribution's own; only who measures Ceph needs it.
    except ImportError as error:
        raise RuntimeError(f"{error}: the lean client of rados needs python3-rados: make setup links it") from error
    cluster = binding.Rados(conffile=str(conf))
    cluster.connect()
    try:
        with cluster.open_ioctx(pool) as opened:
            opened.set_namespace(namespace)
            yield RadosLean(binding, opened)
    finally:
        cluster.shutdown()


class FileLean:
    """Writes files with an fsync each, in threads."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put_all(self, keys: Sequence[str], body: bytes, *, concurrency: int) -> None:
        def put(key: str) -> None:
            with (self._root / key).open("wb", buffering=0) as file:
                file.write(body)
                os.fsync(file.fileno())

        self._all(keys, put, concurrency)

    async def get_all(self, keys: Sequence[str], size_bytes: int, *, concurrency: int) -> None:
        def get(key: str) -> None:
            assert len((self._root / key).read_bytes()) == size_bytes, key

        self._all(keys, get, concurrency)

    def _all(self, keys: Sequence[str], do: Callable[[str], None], concurrency: int) -> None:
        with ThreadPoolExecutor(concurrency) as threads:
            list(threads.map(do, keys))


@asynccontextmanager
async def file(root: Path) -> AsyncIterator[LeanClient]:
    """Write below a directory."""
    yield FileLean(root)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX), auto_decompress=False, read_bufsize=1 << 20
    )
