"""The leanest client of each protocol: one request an object, and nothing that a driver is for.

They retry nothing, map no errors, know no ranges and bound no memory. They add up what the driver adds up: a
CRC-32C or an MD5 of what is stored, the CRC-32C of what GCS gives. Each key is another one, since the urls of keys
that come again would be cached.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
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

from targets.gcs.checksums import told_crc32c
from targets.s3.signing import Keys, signed

CONNECTIONS_MAX = 32
_OK = (200, 201)
_IN_THREAD_BYTES = 1024 * 1024
_THREADS = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="lean")
_Put = Callable[[str, bytes], Awaitable[tuple[str, URL, dict[str, str], Any]]]
_Get = Callable[[str], tuple[URL, dict[str, str]]]


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
        put: _Put,
        get: _Get,
        check: Callable[[bytes, aiohttp.ClientResponse], Awaitable[None]] | None = None,
    ) -> None:
        self._session = session
        self._put = put
        self._get = get
        self._check = check

    async def put_all(self, keys: Sequence[str], body: bytes, *, concurrency: int) -> None:
        async def put(key: str) -> None:
            method, url, headers, data = await self._put(key, body)
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
                if self._check is not None:
                    await self._check(content, response)

        await for_each(keys, concurrency, get)


@asynccontextmanager
async def s3(bucket_url: str, keys: tuple[str, str]) -> AsyncIterator[LeanClient]:
    """Sign the headers, a CRC-32C among them, and leave the payload unsigned."""
    who = Keys(access_key=keys[0], secret_key=keys[1])

    def sign(method: str, key: str, headers: dict[str, str]) -> tuple[URL, dict[str, str]]:
        url = URL(f"{bucket_url}/{key}", encoded=True)
        return url, signed(method, url, headers, keys=who, region="us-east-1", now=datetime.now(UTC))

    async def put(key: str, body: bytes) -> tuple[str, URL, dict[str, str], Any]:
        return "PUT", *sign("PUT", key, {"x-amz-checksum-crc32c": await _added_up(_crc32c, body)}), body

    async with _session() as session:
        yield HttpLean(session, put, lambda key: sign("GET", key, {}))


@asynccontextmanager
async def swift(auth_url: str, user: str, key: str, container: str) -> AsyncIterator[LeanClient]:
    """Log in once, and send the MD5 of each body for Swift to compare."""
    async with _session() as session:
        login = {"X-Auth-User": user, "X-Auth-Key": key}
        async with session.get(auth_url, headers=login) as response:
            token = {"X-Auth-Token": response.headers["X-Auth-Token"]}
            place = f"{response.headers['X-Storage-Url']}/{container}"

        def url(key: str) -> URL:
            return URL(f"{place}/{key}", encoded=True)

        async def put(key: str, body: bytes) -> tuple[str, URL, dict[str, str], Any]:
            return "PUT", url(key), {**token, "ETag": await _added_up(_md5, body)}, body

        yield HttpLean(session, put, lambda key: (url(key), token))


@asynccontextmanager
async def gcs(endpoint: str, bucket: str) -> AsyncIterator[LeanClient]:
    """Upload metadata with a CRC-32C and the body in one request, and compare that of what is read."""
    upload = URL(f"{endpoint}/upload/storage/v1/b/{bucket}/o?uploadType=multipart", encoded=True)

    async def put(key: str, body: bytes) -> tuple[str, URL, dict[str, str], Any]:
        crc32c = await _added_up(_crc32c, body)
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

    async def check(content: bytes, response: aiohttp.ClientResponse) -> None:
        told = told_crc32c(response.headers.getall("X-Goog-Hash"))
        assert await _added_up(_crc32c, content) == told, f"{response.url}: expected the CRC-32C {told}"

    async with _session() as session:
        yield HttpLean(session, put, get, check)


async def _added_up(checksum: Callable[[bytes], str], body: bytes) -> str:
    """Return the checksum. That of a large body is found in a thread, since the loop has others to serve."""
    return (
        checksum(body) if len(body) < _IN_THREAD_BYTES else await asyncio.wrap_future(_THREADS.submit(checksum, body))
    )


def _crc32c(body: bytes) -> str:
    return base64.b64encode(google_crc32c.value(body).to_bytes(4, "big")).decode()


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


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
    # No request of a service may wait for ever. With a time-out librados does not receive into the reader's memory.
    cluster.conf_set("rados_osd_op_timeout", "30")
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
