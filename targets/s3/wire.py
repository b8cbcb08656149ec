"""Signed requests to one bucket, and what is made of their refusals.

Not aiobotocore's: for an object of 64 KiB those take 2.0 to 2.3 ms of CPU, these 0.4 to 0.7
(docs/design/007-s3-route.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from targets.base import Body
from targets.http.client import HttpClient, read_into
from targets.s3.access import Chain
from targets.s3.clock import RequestClock
from targets.s3.documents import is_error, read_refusal
from targets.s3.errors import Refusal, error_of
from targets.s3.place import Urls
from targets.s3.signing import NOTHING, UNSIGNED, Keys, signed

_REFUSAL_BYTES_MAX = 64 * 1024
# The same keys will not do again, but the chain may have newer ones. A HEAD is refused without a code.
_KEYS_REFUSED = {
    *("ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"),
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", ""),
}


class Wire:
    """Signs and sends. Nothing is repeated, but once with newer keys or the store's time when it refused those."""

    def __init__(
        self,
        client: HttpClient,
        urls: Urls,
        chain: Chain,
        *,
        region: str,
        clock: RequestClock,
    ) -> None:
        self.urls = urls
        self.clock = clock
        self._client = client
        self._chain = chain
        self._region = region

    @asynccontextmanager
    async def ask(
        self,
        doing: str,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        body: memoryview | bytes = b"",
        accepted: Collection[int] = (200,),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request and yield its answer; raise the error for every status that is not ``accepted``.

        Names of headers are lower case. The signature covers a body only if it is bytes: those are ours and
        short, while an object is covered by its checksum.
        """
        payload = UNSIGNED if isinstance(body, memoryview) else _sha256(body)
        remedies = {self._other_time, self._other_keys}
        while True:
            keys = await self._chain.keys()
            sent = signed(
                method,
                url,
                headers or {},
                keys=keys,
                region=self._region,
                now=self.clock.now(),
                payload=payload,
            )
            async with self._client.request(method, url, headers=sent, body=body) as answer:
                if answer.status in accepted:
                    yield answer
                    return
                refusal = await self._refusal(answer)
            for remedy in remedies:
                if await remedy(answer, refusal, keys):
                    remedies.remove(remedy)
                    break
            else:
                raise error_of(doing, await self._explained(refusal))

    async def converse(
        self, doing: str, method: str, url: URL, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> bytes:
        """Send a document or nothing and return the document that is the answer, also one that comes late."""
        async with self.ask(doing, method, url, headers=headers, body=body) as answer:
            text = (await answer.read()).lstrip()
        if is_error(text):
            raise error_of(doing, read_refusal(500, text))
        return text

    async def _refusal(self, answer: aiohttp.ClientResponse) -> Refusal:
        room = bytearray(_REFUSAL_BYTES_MAX)
        length = await read_into(answer, memoryview(room))
        region = answer.headers.get("x-amz-bucket-region", "")
        refusal = read_refusal(answer.status, bytes(room[:length]), region=region)
        if not refusal.code and answer.status in (301, 400) and region not in ("", self._region):
            return Refusal(status=answer.status, code="PermanentRedirect", region=region)
        return refusal

    async def _explained(self, refusal: Refusal) -> Refusal:
        """Find out what is absent when the answer, as any to HEAD, does not say: the object or the bucket."""
        if refusal.status != 404 or refusal.code:
            return refusal
        async with self.ask("head bucket", "HEAD", self.urls.bucket(), accepted=(200, 403, 404)) as answer:
            code = "NoSuchBucket" if answer.status == 404 else "NoSuchKey"
        return Refusal(status=404, code=code, message=refusal.message)

    async def _other_time(self, answer: aiohttp.ClientResponse, _: Refusal, __: Keys) -> bool:
        return answer.status == 403 and self.clock.correct(answer.headers.get("Date", ""))

    async def _other_keys(self, answer: aiohttp.ClientResponse, refusal: Refusal, refused: Keys) -> bool:
        """Read the keys anew, from where they come, and tell whether they are others than those refused."""
        if answer.status not in (400, 401, 403) or refusal.code not in _KEYS_REFUSED:
            return False
        return await self._chain.has_other_keys(refused)


def _sha256(body: Body) -> str:
    return hashlib.sha256(body).hexdigest() if body else NOTHING
