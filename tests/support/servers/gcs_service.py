"""Cloud Storage in the loop of a test: real HTTP, the published JSON API, as strict as the real service.

Written from https://cloud.google.com/storage/docs/json_api for what no emulator does: tokens that expire,
checksums and preconditions together, batches, holds, retention, rate limits, fields.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.parser import BytesParser
from typing import Any
from urllib.parse import unquote, urlsplit

from aiohttp import web

from tests.support.servers.gcs_objects import Bucket, JsonObject, Refused
from tests.support.servers.gcs_tokens import TokenEndpoint

_REQUEST_BYTES_MAX = 128 * 1024 * 1024
_BATCH_COUNT_MAX = 100
_PAGE_COUNT_MAX = 1000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_INNER = re.compile(r"DELETE (/storage/v1/b/[^/]+/o/\S+) HTTP/1.1")


@dataclass(slots=True)
class Fault:
    """The next ``times`` requests like this are refused; None is any. ``breaks``: cut off in their middle."""

    status: int = 503
    reason: str = "backendError"
    method: str | None = None
    times: int = 1
    breaks: bool = False


class GcsService:
    """``requests`` tells (method, path) of each so far, ``statuses`` the answers.

    ``garbles``: flips a bit of "uploads" or of "downloads".
    """

    def __init__(self, *, is_anonymous: bool) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.tokens = TokenEndpoint()
        self.requests: list[tuple[str, str]] = []
        self.statuses: list[int] = []
        self.runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1)
        self.faults: list[Fault] = []
        self.garbles = ""
        self.has_batches = True
        self.endpoint = ""
        self._is_anonymous = is_anonymous

    def bucket(self, name: str) -> Bucket:
        """Return the bucket, made if it is missing."""
        return self.buckets.setdefault(name, Bucket(name))

    async def idle(self) -> None:
        """Return when every connection to it has been closed."""
        while self.runner.server is not None and self.runner.server.connections:  # noqa: ASYNC110 - aiohttp has no event for it
            await asyncio.sleep(0)

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=_REQUEST_BYTES_MAX, middlewares=[self._admit])
        application.router.add_post("/token", self.tokens.handle)
        application.router.add_post("/upload/storage/v1/b/{bucket}/o", self._insert)
        application.router.add_get("/storage/v1/b/{bucket}/o", self._list)
        application.router.add_get("/storage/v1/b/{bucket}/o/{name:.+}", self._get)
        application.router.add_delete("/storage/v1/b/{bucket}/o/{name:.+}", self._delete)
        application.router.add_post("/storage/v1/b", self._insert_bucket)
        application.router.add_post("/batch/storage/v1", self._batch)
        return application

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == "/token":
            return await handler(request)
        self.requests.append((request.method, request.path))
        response = await self._answered(request, handler)
        self.statuses.append(response.status)
        return response

    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            await self._fail(request)
            if not self._is_anonymous and not self.tokens.is_valid(request.headers.get("Authorization", "")):
                await request.read()
                raise Refused(401, "authError", "Invalid Credentials")
            return await handler(request)
        except Refused as refused:
            return _refusal(request, refused)

    async def _fail(self, request: web.Request) -> None:
        for fault in self.faults:
            if fault.times and fault.method in (None, request.method):
                fault.times -= 1
                if fault.breaks:
                    await request.content.readany()
                    assert request.transport is not None
                    request.transport.abort()
                    raise asyncio.CancelledError  # As aiohttp ends a handler whose client has gone.
                await request.read()
                raise Refused(fault.status, fault.reason, "Injected by the test.")

    async def _insert(self, request: web.Request) -> web.Response:
        bucket = self._found(request)
        assert request.query["uploadType"] == "multipart"
        metadata, content = _parts(request.headers["Content-Type"], await request.read())
        if self.garbles == "uploads":
            content = _garbled(content)
        match = request.query.get("ifGenerationMatch")
        if "kmsKeyName" in request.query:
            metadata["kmsKeyName"] = request.query["kmsKeyName"]
        stored = bucket.insert(metadata, content, if_generation_match=match)
        return web.json_response(_only(stored.json(), request.query.get("fields")))

    async def _get(self, request: web.Request) -> web.Response:
        stored = self._found(request).get(request.match_info["name"])
        if request.query.get("alt") != "media":
            return web.json_response(_only(stored.json(), request.query.get("fields")))
        headers = {"X-Goog-Hash": f"crc32c={stored.crc32c},md5=1B2M2Y8AsgTpgAmY7PhCfg=="}
        content = _garbled(stored.content) if self.garbles == "downloads" else stored.content
        first, last = _range(request, len(content))
        if last < first and "Range" in request.headers:
            raise Refused(416, "requestedRangeNotSatisfiable", "Request range not satisfiable")
        if "Range" in request.headers:
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        status = 206 if "Range" in request.headers else 200
        return web.Response(body=content[first : last + 1], status=status, headers=headers)

    async def _delete(self, request: web.Request) -> web.Response:
        self._found(request).delete(request.match_info["name"])
        return web.Response(status=204)

    async def _list(self, request: web.Request) -> web.Response:
        after = base64.b64decode(request.query.get("pageToken", "")).decode()
        count = min(int(request.query.get("maxResults", _PAGE_COUNT_MAX)), _PAGE_COUNT_MAX)
        objects, token = self._found(request).page(request.query.get("prefix", ""), after, count)
        answer: JsonObject = {"kind": "storage#objects"}
        if objects:
            answer["items"] = [stored.json() for stored in objects]
        if token is not None:
            answer["nextPageToken"] = token
        return web.json_response(_only(answer, request.query.get("fields")))

    async def _insert_bucket(self, request: web.Request) -> web.Response:
        metadata = await request.json()
        if metadata["name"] in self.buckets:
            raise Refused(409, "conflict", "Your previous request to create the named bucket succeeded.")
        self.bucket(metadata["name"]).metadata = {**metadata, "project": request.query["project"]}
        return web.json_response({"kind": "storage#bucket", **metadata})

    async def _batch(self, request: web.Request) -> web.Response:
        if not self.has_batches:
            raise Refused(404, "notFound", "Not Found")
        whole = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode() + await request.read()
        parts: list[Any] = [*BytesParser().parsebytes(whole).walk()][1:]
        if len(parts) > _BATCH_COUNT_MAX:
            raise Refused(400, "badRequest", "The batch request exceeds the maximum number of calls, 100.")
        # The real service answers in any order.
        answers = [self._batched(part["Content-ID"], part.get_payload()) for part in reversed(parts)]
        body = "".join(f"--answers\r\n{answer}\r\n" for answer in answers) + "--answers--\r\n"
        return web.Response(body=body.encode(), headers={"Content-Type": "multipart/mixed; boundary=answers"})

    def _batched(self, content_id: str, payload: str) -> str:
        found = _INNER.match(payload)
        assert found is not None
        _, bucket, name = re.split(r"^/storage/v1/b/|/o/", urlsplit(found[1]).path)
        status, body = "204 No Content", ""
        try:
            self._bucket_or_refuse(bucket).delete(unquote(name))
        except Refused as refused:
            status, body = f"{refused.status} Refused", json.dumps(refused.json())
        inner = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        return f"Content-Type: application/http\r\nContent-ID: <response-{content_id.strip('<>')}>\r\n\r\n{inner}"

    def _found(self, request: web.Request) -> Bucket:
        return self._bucket_or_refuse(request.match_info["bucket"])

    def _bucket_or_refuse(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise Refused(404, "notFound", "The specified bucket does not exist.")
        return self.buckets[name]


@asynccontextmanager
async def gcs_service(*, is_anonymous: bool = False) -> AsyncIterator[GcsService]:
    """Yield a service that listens on a port of the loopback, with one bucket named ``bucket``."""
    service = GcsService(is_anonymous=is_anonymous)
    service.bucket("bucket")
    runner = service.runner
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        service.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        service.tokens.url = f"{service.endpoint}/token"
        yield service
    finally:
        await runner.cleanup()


def _refusal(request: web.Request, refused: Refused) -> web.Response:
    if request.query.get("alt") == "media":  # Where content was asked for, the service answers in plain text.
        return web.Response(status=refused.status, text=refused.message)
    return web.json_response(refused.json(), status=refused.status)


def _parts(content_type: str, body: bytes) -> tuple[JsonObject, bytes]:
    """Return metadata and content of a multipart/related body (RFC 2387)."""
    found = re.fullmatch(r"multipart/related; boundary=(\S+)", content_type)
    assert found is not None
    boundary = f"--{found[1]}".encode()
    head, metadata, rest = body.split(boundary, 2)
    content, end, after = rest.rpartition(b"\r\n" + boundary + b"--")
    assert (head, bool(end), after.strip()) == (b"", True, b"")
    return json.loads(metadata.split(b"\r\n\r\n", 1)[1]), content.split(b"\r\n\r\n", 1)[1]


def _range(request: web.Request, size_bytes: int) -> tuple[int, int]:
    """Return the first and last byte that were asked for; the last is before the first if there is none."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", "bytes=0-"))
    assert found is not None
    return int(found[1]), min(int(found[2]) if found[2] else size_bytes, size_bytes - 1)


def _only(resource: JsonObject, fields: str | None) -> JsonObject:
    """Return what ``fields`` asks for, as ``a,b(c,d)`` (partial responses)."""
    if fields is None:
        return resource
    chosen: JsonObject = {}
    for name, inner in re.findall(r"(\w+)(?:\(([\w,]+)\))?", fields):
        if name in resource:
            chosen[name] = [_only(item, inner) for item in resource[name]] if inner else resource[name]
    return chosen


def _garbled(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:] if content else content
