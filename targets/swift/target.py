"""The Swift target."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp

from targets.base import Body, Capabilities, ObjectInfo, closing, flat_view
from targets.errors import ObjectExists, QuotaExceeded, Unsupported
from targets.http.client import HttpClient
from targets.http.ranges import content_length, get_range, get_range_into
from targets.keys import validate_key, validate_prefix
from targets.parallel import each
from targets.swift import bulk
from targets.swift.answers import failure
from targets.swift.checksums import Checksums
from targets.swift.cluster import OBJECT_SIZE_BYTES_MAX
from targets.swift.container import Container
from targets.swift.keystone import Keystone
from targets.swift.listing import listing
from targets.swift.options import Place, SwiftOptions
from targets.swift.session import Session
from targets.swift.v1 import V1

_FOUND = (200, 206, 416)
_DELETES_AT_A_TIME = 8
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


class SwiftTarget:
    """A container as a target. Making one reads the file of the secret; the first operation logs in.

    Every object is sent with its MD5, so that one which arrives garbled is refused. What is read whole is checked
    against it; of a range Swift tells no sum, and the frames in it carry their own.
    """

    def __init__(self, place: Place, options: SwiftOptions, *, monotonic: Callable[[], float] | None = None) -> None:
        self._http = HttpClient(connections_max=options.connections_max, ca_file=options.ca_file)
        log_in = Keystone(options) if options.auth == "keystone" else V1(options)
        self._session = Session(self._http, log_in, monotonic=monotonic)
        self._container = Container(self._session, place, options)
        self._prefix = place.prefix
        self._checksums = Checksums()
        self.capabilities = Capabilities(
            name="swift",
            conditional_put=options.conditional_put,
            object_size_bytes_max=OBJECT_SIZE_BYTES_MAX,
            servers_differ=True,
        )

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        validate_key(key)
        if if_absent and not self.capabilities.conditional_put:
            raise Unsupported(
                f"put {key}: Swift cannot tell whether an object is absent"
                "\nHINT: single_writer = true makes up for it if one daemon alone writes there"
            )
        with flat_view(body) as view:
            cluster = await self._container.opened()
            if view.nbytes > cluster.object_size_bytes_max:
                raise QuotaExceeded(
                    f"put {key}: {view.nbytes} bytes, the cluster takes {cluster.object_size_bytes_max}"
                )
            headers = {"ETag": await self._checksums.md5(view), "Content-Type": "application/octet-stream"}
            if if_absent:
                headers["If-None-Match"] = "*"
            allowed = (201, 202)
            async with self._container.object("PUT", key, allowed=allowed, headers=headers, body=view) as response:
                if response.status == 202 and if_absent:  # A later write was there already, and has won.
                    raise ObjectExists(f"{key} exists already")

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        validate_key(key)
        await self._container.opened()
        etag: str | None = None

        @asynccontextmanager
        async def get(headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
            nonlocal etag
            async with self._container.object("GET", key, allowed=_FOUND, headers=headers) as response:
                etag = None if headers else _md5_of(response)
                yield response

        content = await get_range(key, get, lambda: self._size(key), offset=offset, length=length)
        if etag is not None:
            await self._checksums.check(key, content, etag)
        return content

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        validate_key(key)
        await self._container.opened()

        def get(headers: Mapping[str, str]) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
            return self._container.object("GET", key, allowed=_FOUND, headers=headers)

        with flat_view(buffer) as view:
            await get_range_into(key, get, lambda: self._size(key), view, offset=offset)

    async def head(self, key: str) -> ObjectInfo:
        validate_key(key)
        await self._container.opened()
        return ObjectInfo(key, await self._size(key))

    async def delete(self, key: str) -> None:
        validate_key(key)
        await self._container.opened()
        async with self._container.object("DELETE", key, allowed=(204, 404)) as response:
            is_absent = response.status == 404
        if is_absent:
            await self._container.check(f"delete {key}")

    async def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            validate_key(key)
        count = (await self._container.opened()).deletes_max
        if count == 0:
            await self._delete_each(keys)
            return
        for start in range(0, len(keys), count):
            await self._delete_batch(keys[start : start + count])

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        validate_prefix(prefix)
        count = (await self._container.opened()).listing_count_max
        async with closing(listing(self._container, prefix, base=self._prefix, page_count=count)) as found:
            async for info in found:
                yield info

    async def aclose(self) -> None:
        await self._http.aclose()
        self._checksums.close()

    async def _size(self, key: str) -> int:
        async with self._container.object("HEAD", key, allowed=(200, 204)) as response:
            return await content_length(key, response)

    async def _delete_batch(self, keys: Sequence[str]) -> None:
        body = bulk.request_body(self._container.path, (f"{self._prefix}{key}" for key in keys))
        login = await self._session.login()
        outcome = await self._deleted(body)
        if outcome is not None and outcome.is_refused:  # The answer is a 200 all the same.
            await self._session.login(refused=login)
            outcome = await self._deleted(body)
        if outcome is None:
            await self._delete_each(keys)
        elif (error := outcome.error()) is not None:
            raise error
        elif outcome.absent:
            await self._container.check(f"delete {len(keys)} keys")

    async def _deleted(self, body: bytes) -> bulk.Outcome | None:
        headers = {"Content-Type": "text/plain", "Accept": "application/json"}
        async with self._session.request("POST", "?bulk-delete", headers=headers, body=body) as response:
            if response.status not in (200, 204):
                raise await failure("delete many", response)
            return bulk.outcome(await response.read())

    async def _delete_each(self, keys: Sequence[str]) -> None:
        await each(keys, self.delete, at_a_time=_DELETES_AT_A_TIME)


def _md5_of(response: aiohttp.ClientResponse) -> str | None:
    """Return the MD5 of what an answer gives; None if its ETag is something else, as that of large objects."""
    if "X-Static-Large-Object" in response.headers or "X-Object-Manifest" in response.headers:
        return None
    found = _MD5.fullmatch(response.headers.get("ETag", ""))
    return found and found[1]
