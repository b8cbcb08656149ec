"""The target: the objects of one bucket below one prefix."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from targets.base import Body, Capabilities, ObjectInfo, flat_view
from targets.errors import Misconfigured, Unavailable, Unsupported
from targets.gcs.api import JsonApi, read_json
from targets.gcs.checksums import Checksums
from targets.gcs.credentials import Load, Tokens
from targets.gcs.deletions import Deletions
from targets.gcs.options import SERVICE, GcsOptions, check_bucket, check_prefix
from targets.gcs.reads import Reads
from targets.gcs.uploads import Uploads
from targets.keys import is_key, validate_key, validate_prefix
from targets.threads import outcome, shut_down

_OBJECT_SIZE_BYTES_MAX = 5 * 1024**4
_PAGE_COUNT = 1000  # The service's limit.


class GcsTarget:
    """A bucket as a target. Making one touches neither network nor credentials.

    ``prefix`` is empty, or a key and a slash. ``load`` gives the credentials, in a thread; None for an anonymous
    target. TargetGone if there is no bucket. A token that is being fetched is not withdrawn with its caller: it is
    the target's, has a deadline, and ``aclose`` waits for it.
    """

    def __init__(self, bucket: str, prefix: str, options: GcsOptions, load: Load | None) -> None:
        check_bucket(bucket)
        check_prefix(prefix)
        self.capabilities = Capabilities(
            name="gcs",
            conditional_put=options.conditional_put,
            object_size_bytes_max=_OBJECT_SIZE_BYTES_MAX,
            servers_differ=options.endpoint != SERVICE,
        )
        self._options = options
        self._prefix = prefix
        self._api = JsonApi(bucket, options, None if load is None else Tokens(load))
        self._checksums = Checksums()
        self._reads = Reads(self._api, prefix, self._checksums)
        self._uploads = Uploads(self._api, prefix, options, self._checksums)
        self._deletions = Deletions(self._api, prefix, connections_max=options.connections_max)
        self._has_bucket = not options.create_bucket
        self._creating = asyncio.Lock()

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        validate_key(key)
        if if_absent and not self.capabilities.conditional_put:
            raise Unsupported(f"put {key}: option conditional_put says that this server ignores preconditions")
        await self._ready()
        with flat_view(body) as view:
            await self._uploads.put(key, view, if_absent=if_absent)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        validate_key(key)
        await self._ready()
        return await self._reads.get(key, offset=offset, length=length)

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        validate_key(key)
        await self._ready()
        with flat_view(buffer) as view:
            await self._reads.get_into(key, view, offset=offset)

    async def head(self, key: str) -> ObjectInfo:
        validate_key(key)
        await self._ready()
        return ObjectInfo(key, await self._reads.size(key))

    async def delete(self, key: str) -> None:
        validate_key(key)
        await self._ready()
        await self._deletions.one(key)

    async def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            validate_key(key)
        await self._ready()
        await self._deletions.many(keys)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Yield page by page; no connection is held while the reader is busy."""
        validate_prefix(prefix)
        await self._ready()
        page: str | None = ""
        while page is not None:
            found, page = await self._page(prefix, page)
            for info in found:
                yield info

    async def aclose(self) -> None:
        await self._api.aclose()
        await self._checksums.aclose()

    async def _page(self, prefix: str, page: str) -> tuple[Sequence[ObjectInfo], str | None]:
        """Return the objects of one page, and the token of the next one."""
        doing = f"list {prefix}"
        query = {"prefix": self._prefix + prefix, "maxResults": str(_PAGE_COUNT)}
        if page:
            query["pageToken"] = page
        path = self._api.path(**query, fields="nextPageToken,items(name,size)")
        async with self._api.send("GET", path) as response:
            await self._api.ok(response, doing)
            answer = await read_json(response, doing)
        try:
            named = [(str(item["name"])[len(self._prefix) :], int(item["size"])) for item in answer.get("items", [])]
        except (TypeError, KeyError, ValueError):
            raise Unavailable(f"{doing}: the answer is no listing") from None
        # A name that is no key is not ours: somebody else uses the bucket too.
        return [ObjectInfo(key, size) for key, size in named if is_key(key)], answer.get("nextPageToken")

    async def _ready(self) -> None:
        """Create the bucket if that is wanted and there is none."""
        if self._has_bucket:
            return
        async with self._creating:
            if not self._has_bucket:
                if not await self._api.bucket_exists():
                    await self._create(await self._api.token())
                self._has_bucket = True

    async def _create(self, token: str | None) -> None:
        try:
            from targets.gcs.bucket import create_bucket  # noqa: PLC0415 - takes long to import, and is seldom needed
        except ImportError as error:
            needed = "option create_bucket: needs google-cloud-storage: pip install 'backupd[gcs]'"
            raise Misconfigured(needed) from error

        executor = ThreadPoolExecutor(1, thread_name_prefix="target-gcs-bucket")
        try:
            await outcome(executor.submit(partial(create_bucket, self._api.bucket, self._options, token)))
        finally:
            await shut_down(executor)
