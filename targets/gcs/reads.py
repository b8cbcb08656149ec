"""Reading objects: exact ranges, and whole objects against their checksum."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import aiohttp

from targets.base import range_end
from targets.errors import ObjectNotFound, Unavailable
from targets.gcs.api import JsonApi, read_json
from targets.gcs.checksums import Checksums, told_crc32c
from targets.http.ranges import get_range, get_range_into

_CONTENT_RANGE = re.compile(r"bytes .*/(\d+)")


class Reads:
    """Reads the objects below ``prefix``."""

    def __init__(self, api: JsonApi, prefix: str, checksums: Checksums) -> None:
        self._api = api
        self._prefix = prefix
        self._checksums = checksums

    async def get(self, key: str, *, offset: int, length: int | None) -> bytes:
        download = _Download(self._api, key, self._prefix + key)
        content = await get_range(
            key, download.send, partial(self._size_after_refusal, key), offset=offset, length=length
        )
        if download.object_size_bytes is not None:  # Some servers answer with nothing where the service refuses.
            range_end(key, download.object_size_bytes, offset=offset, length=length)
        if not offset:
            await self._verify(key, content, download)
        return content

    async def get_into(self, key: str, view: memoryview, *, offset: int) -> None:
        download = _Download(self._api, key, self._prefix + key)
        await get_range_into(key, download.send, partial(self._size_after_refusal, key), view, offset=offset)
        if not offset:
            await self._verify(key, view, download)

    async def size(self, key: str) -> int:
        doing = f"head {key}"
        async with self._api.send("GET", self._api.path(self._prefix + key, fields="size")) as response:
            if response.status != 404:
                await self._api.ok(response, doing)
                return _size(await read_json(response, doing), doing)
        await self._api.check_bucket(doing)
        raise ObjectNotFound(f"{key} does not exist")

    async def _size_after_refusal(self, key: str) -> int:
        """Return the size, asked for because a range was refused.

        A server may hang up after that without a word, as fake-gcs-server does: then this finds out, and the next
        request has a new connection.
        """
        try:
            return await self.size(key)
        except Unavailable:
            return await self.size(key)

    async def _verify(self, key: str, content: memoryview | bytes, download: _Download) -> None:
        """Compare with the checksum if this is the whole object, the only thing that the service keeps one of."""
        expected = download.crc32c
        if expected is None or len(content) != download.object_size_bytes:
            return
        found = await self._checksums.of(content)
        if found != expected:
            raise Unavailable(f"get {key}: crc32c {found}, expected {expected}: it arrived garbled")


class _Download:
    """One download; remembers what the answer told about the whole object."""

    def __init__(self, api: JsonApi, key: str, name: str) -> None:
        self._api = api
        self._key = key
        self._name = name
        self.crc32c: str | None = None
        self.object_size_bytes: int | None = None

    @asynccontextmanager
    async def send(self, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        doing = f"get {self._key}"
        async with self._api.send("GET", self._api.path(self._name, alt="media"), headers=headers) as response:
            if response.status in (200, 206, 416):
                self._remember(response)
                yield response
                return
            if response.status != 404:
                await self._api.refuse(response, doing)
        await self._api.check_bucket(doing)
        raise ObjectNotFound(f"{self._key} does not exist")

    def _remember(self, response: aiohttp.ClientResponse) -> None:
        self.crc32c = told_crc32c(response.headers.getall("X-Goog-Hash", []))
        if response.status == 200:
            self.object_size_bytes = response.content_length
        elif told := _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "")):
            self.object_size_bytes = int(told[1])


def _size(answer: Mapping[str, object], doing: str) -> int:
    size = str(answer.get("size", ""))
    if not size.isdecimal():
        raise Unavailable(f"{doing}: the answer has no size")
    return int(size)
