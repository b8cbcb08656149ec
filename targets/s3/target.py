"""The S3 target: one signed request for one object, over connections of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

import aiohttp

from targets.base import Body, Capabilities, Leaving, ObjectInfo, flat_view
from targets.errors import QuotaExceeded, Unsupported
from targets.http.client import HttpClient
from targets.http.ranges import content_length, get_range, get_range_into
from targets.keys import is_key, validate_key, validate_prefix
from targets.s3.access import Chain
from targets.s3.checksums import checksum_header
from targets.s3.clock import RequestClock
from targets.s3.documents import read_page
from targets.s3.locks import Locks
from targets.s3.multipart import abort, put_in_parts, uploads
from targets.s3.options import PARTS_MAX, PUT_BYTES_MAX, S3Options
from targets.s3.place import Place, Urls, may_be_virtual
from targets.s3.removal import Removal
from targets.s3.wire import Wire
from targets.threads import shut_down

_THREADS = 2  # For checksums, and for credentials that somebody has to be asked for.


class S3Target:
    """A bucket, or what begins with a prefix in it, as a target.

    Making one reads the configuration of the SDK, which blocks; the bucket is first asked by the first
    operation. An operation that is cancelled ends the connection that it used.
    """

    def __init__(self, place: Place, options: S3Options | None = None, *, clock: RequestClock | None = None) -> None:
        self._options = options = options or S3Options()
        self._place = place
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="target-s3")
        chain = Chain(options, self._executor)
        site = chain.site()
        virtual = options.addressing == "virtual" or (
            options.addressing == "auto" and site.is_aws and may_be_virtual(place.bucket)
        )
        self._client = HttpClient(connections_max=options.connections_max, ca_file=options.ca_file)
        self._wire = Wire(
            self._client,
            Urls(site.endpoint, place, virtual=virtual),
            chain,
            region=site.region,
            clock=clock or RequestClock(),
        )
        self._removal = Removal(self._wire, place.prefix, versions=options.object_lock_mode is not None)
        self._locks = Locks(self._wire, options)
        self._stored_as = _stored_as(options)
        self.capabilities = Capabilities(
            name="s3",
            conditional_put=options.conditional_put,
            # One request takes no more, and only one request can be conditional.
            object_size_bytes_max=PUT_BYTES_MAX,
            servers_differ=True,
        )

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        validate_key(key)
        if if_absent and not self._options.conditional_put:
            raise Unsupported(f"put {key}: option conditional_put says that this store cannot tell what is absent")
        with flat_view(body) as view:
            if view.nbytes > PUT_BYTES_MAX:
                raise QuotaExceeded(f"put {key}: {view.nbytes} bytes, at most {PUT_BYTES_MAX}")
            if if_absent or view.nbytes <= self._options.multipart_above_bytes:
                await self._put(key, view, {"if-none-match": "*"} if if_absent else {})
            else:
                await self._put_in_parts(key, view)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        validate_key(key)
        return await get_range(key, partial(self._got, key), partial(self._size, key), offset=offset, length=length)

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        validate_key(key)
        with flat_view(buffer) as view:
            await get_range_into(key, partial(self._got, key), partial(self._size, key), view, offset=offset)

    async def head(self, key: str) -> ObjectInfo:
        validate_key(key)
        return ObjectInfo(key, await self._size(key))

    async def delete(self, key: str) -> None:
        validate_key(key)
        await self._removal.remove(key)

    async def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            validate_key(key)
        await self._removal.remove_many(keys)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Yield page by page; names that are no keys are somebody else's and left out."""
        validate_prefix(prefix)
        whole = self._place.prefix + prefix
        asked: dict[str, str] | None = {}
        while asked is not None:
            url = self._wire.urls.bucket({"list-type": "2", "prefix": whole, "encoding-type": "url"} | asked)
            page = read_page(await self._wire.converse(f"list {prefix}", "GET", url))
            for listed in page.objects:
                if is_key(key := listed.name.removeprefix(self._place.prefix)):
                    yield ObjectInfo(key, listed.size_bytes)
            asked = page.next

    def leavings(self, prefix: str) -> AsyncIterator[Leaving]:
        validate_prefix(prefix)
        return uploads(self._wire, self._place.prefix, prefix)

    async def remove_leavings(self, leavings: Sequence[Leaving]) -> None:
        for leaving in leavings:
            await abort(self._wire, leaving)

    @property
    def lock_s(self) -> float | None:
        return self._locks.lock_s

    async def lock(self, keys: Sequence[str]) -> None:
        await self._locks.lock(keys)

    async def locked(self, keys: Sequence[str]) -> set[str]:
        return await self._locks.locked(keys)

    async def aclose(self) -> None:
        await self._client.aclose()
        await shut_down(self._executor)

    async def _put(self, key: str, view: memoryview, condition: Mapping[str, str]) -> None:
        headers = {**self._stored_as, **self._locks.headers(), **condition, **await self._checksum(view)}
        async with self._wire.ask(f"put {key}", "PUT", self._wire.urls.object(key), headers=headers, body=view) as done:
            await done.read()

    async def _put_in_parts(self, key: str, view: memoryview) -> None:
        algorithm = {"x-amz-checksum-algorithm": "CRC32C"} if self._options.checksum == "crc32c" else {}
        await put_in_parts(
            self._wire,
            key,
            view,
            part_bytes=max(self._options.part_bytes, -(-view.nbytes // PARTS_MAX)),
            headers={**self._stored_as, **self._locks.headers(), **algorithm},
            checksum=self._checksum,
        )

    async def _checksum(self, view: memoryview) -> dict[str, str]:
        return await checksum_header(self._options.checksum, view, self._executor)

    @asynccontextmanager
    async def _got(self, key: str, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        lower = {name.lower(): value for name, value in headers.items()}
        async with self._wire.ask(
            f"get {key}", "GET", self._wire.urls.object(key), headers=lower, accepted=(200, 206, 416)
        ) as answer:
            yield answer

    async def _size(self, key: str) -> int:
        async with self._wire.ask(f"head {key}", "HEAD", self._wire.urls.object(key)) as answer:
            return await content_length(key, answer)


def _stored_as(options: S3Options) -> dict[str, str]:
    headers = {
        "x-amz-server-side-encryption": options.sse,
        "x-amz-server-side-encryption-aws-kms-key-id": options.sse_kms_key_id,
        "x-amz-storage-class": options.storage_class,
    }
    return {name: value for name, value in headers.items() if value is not None}
