"""The JSON API of one bucket: urls, authorized requests, refusals."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from targets.errors import TargetGone, Unavailable
from targets.gcs.credentials import Tokens
from targets.gcs.options import GcsOptions
from targets.gcs.refusals import read_refusal, refused
from targets.http.client import HttpClient, read_into

_REFUSAL_BYTES_MAX = 16 * 1024


class JsonApi:
    """Sends requests about one bucket. ``tokens`` is None for an anonymous target."""

    def __init__(self, bucket: str, options: GcsOptions, tokens: Tokens | None) -> None:
        self.bucket = bucket
        self._endpoint = options.endpoint.rstrip("/")
        self._user_project = options.user_project
        self._tokens = tokens
        self._http = HttpClient(connections_max=options.connections_max, ca_file=options.ca_file)

    def path(self, name: str | None = None, **query: str) -> str:
        """Return the path of the object, or of all objects of the bucket."""
        below = "" if name is None else "/" + quote(name, safe="")
        return f"/storage/v1/b/{self.bucket}/o{below}{self._query(query)}"

    def upload_path(self, **query: str) -> str:
        return f"/upload/storage/v1/b/{self.bucket}/o{self._query(query)}"

    @asynccontextmanager
    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: memoryview | bytes = b"",
        around: tuple[bytes, bytes] = (b"", b""),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield the answer, whatever its status; a token that is refused is replaced once."""
        url = URL(f"{self._endpoint}{path}", encoded=True)
        authorized = await self._authorized()
        async with AsyncExitStack() as sending:
            for is_last in (self._tokens is None, True):
                given = {**(headers or {}), **authorized}
                response = await sending.enter_async_context(
                    self._http.request(method, url, headers=given, body=body, around=around)
                )
                if response.status != 401 or is_last:
                    break
                await sending.aclose()  # Its connection may be the last one.
                authorized = await self._authorized(refused=authorized)
            yield response
            if response.status == 404:  # Common and short: read, it leaves the connection for others.
                await response.read()

    async def ok(self, response: aiohttp.ClientResponse, doing: str, *, if_absent: bool = False) -> None:
        """Return if it succeeded; raise what it was refused with. TargetGone for 404: no object was asked for."""
        if response.status not in (200, 204):
            await self.refuse(response, doing, if_absent=if_absent)

    async def refuse(self, response: aiohttp.ClientResponse, doing: str, *, if_absent: bool = False) -> NoReturn:
        """Raise what the request was refused with."""
        said = bytearray(_REFUSAL_BYTES_MAX)
        with memoryview(said) as view:
            length = await read_into(response, view)
        refusal = read_refusal(response.status, bytes(said[:length]))
        if response.status == 404:
            raise self._gone(doing)
        raise refused(doing, refusal, if_absent=if_absent)

    async def check_bucket(self, doing: str) -> None:
        """Return if there is a bucket, so that it was an object that 404 was about. TargetGone."""
        if not await self.bucket_exists():
            raise self._gone(doing)

    async def bucket_exists(self) -> bool:
        """Tell whether there is a bucket; asks for a listing, which takes no further permission."""
        async with self.send("GET", self.path(maxResults="1", fields="kind")) as response:
            if response.status != 404:
                await self.ok(response, f"bucket {self.bucket}")
            return response.status != 404

    async def token(self) -> str | None:
        """Return a token for other clients of the service, or None for an anonymous one."""
        authorized = await self._authorized()
        return authorized["authorization"].removeprefix("Bearer ") if authorized else None

    async def aclose(self) -> None:
        await self._http.aclose()
        if self._tokens is not None:
            await self._tokens.aclose()

    async def _authorized(self, *, refused: Mapping[str, str] | None = None) -> Mapping[str, str]:
        return await self._tokens.headers(refused=refused) if self._tokens is not None else {}

    def _gone(self, doing: str) -> TargetGone:
        return TargetGone(f"{doing}: there is no bucket {self.bucket}")

    def _query(self, query: Mapping[str, str]) -> str:
        given = {**query, **({"userProject": self._user_project} if self._user_project else {})}
        return f"?{urlencode(given, quote_via=quote, safe='')}" if given else ""


async def read_json(response: aiohttp.ClientResponse, doing: str) -> dict[str, Any]:
    """Return the JSON object of an answer. Unavailable when it is none, as from a server in between."""
    try:
        answer = json.loads(await response.read())
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Unavailable(f"{doing}: the answer is no JSON object")
    return answer
