"""Uploads in parts: an object larger than one request should carry, whole at the end or not there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping

from targets.errors import TargetError, TimedOut
from targets.parallel import each
from targets.s3.documents import read_upload_id, write_complete
from targets.s3.tasks import settled
from targets.s3.wire import Wire

Checksum = Callable[[memoryview], Awaitable[dict[str, str]]]
Part = tuple[int, memoryview]

_PARTS_AT_A_TIME = 4
# To begin an upload and to abort one: a cancellation waits for both, so that the store keeps no parts.
_DEADLINE_S = 10.0
_CRC32C = "x-amz-checksum-crc32c"


async def put_in_parts(
    wire: Wire, key: str, body: memoryview, *, part_bytes: int, headers: Mapping[str, str], checksum: Checksum
) -> None:
    """Store ``body`` under ``key``. When this fails or is cancelled, the upload is aborted before it returns."""
    upload = _Upload(wire, key, headers)
    try:
        await settled(upload.begin())
        await upload.complete(await _sent(upload, body, part_bytes, checksum))
    except BaseException:
        await settled(upload.abort())
        raise


class _Upload:
    """One upload at the store."""

    def __init__(self, wire: Wire, key: str, headers: Mapping[str, str]) -> None:
        self._wire = wire
        self._key = key
        self._headers = headers
        self._id: str | None = None

    async def begin(self) -> None:
        doing = f"put {self._key}: begin parts"
        try:
            async with asyncio.timeout(_DEADLINE_S):
                url = self._wire.urls.object(self._key, {"uploads": ""})
                self._id = read_upload_id(await self._wire.converse(doing, "POST", url, headers=self._headers))
        except TimeoutError as error:
            raise TimedOut(f"{doing}: no answer within {_DEADLINE_S} s") from error

    async def send(self, number: int, part: memoryview, headers: Mapping[str, str]) -> dict[str, str]:
        """Send one part and return what the completion has to say about it."""
        assert self._id is not None
        url = self._wire.urls.object(self._key, {"partNumber": str(number), "uploadId": self._id})
        async with self._wire.ask(f"put {self._key}: part {number}", "PUT", url, headers=headers, body=part) as answer:
            await answer.read()
            said = {"PartNumber": str(number), "ETag": answer.headers.get("ETag", "")}
        return said | ({"ChecksumCRC32C": headers[_CRC32C]} if _CRC32C in headers else {})

    async def complete(self, parts: list[dict[str, str]]) -> None:
        assert self._id is not None
        url = self._wire.urls.object(self._key, {"uploadId": self._id})
        await self._wire.converse(f"put {self._key}: complete", "POST", url, body=write_complete(parts))

    async def abort(self) -> None:
        """Have the store forget the parts; what it does not answer in time is left to its lifecycle rules."""
        if self._id is None:
            return
        url = self._wire.urls.object(self._key, {"uploadId": self._id})
        try:
            async with (
                asyncio.timeout(_DEADLINE_S),
                self._wire.ask(f"put {self._key}: abort", "DELETE", url, accepted=(200, 204, 404)),
            ):
                pass
        except (TargetError, TimeoutError):
            return  # Why it is aborted is what the caller has to know.


async def _sent(upload: _Upload, body: memoryview, part_bytes: int, checksum: Checksum) -> list[dict[str, str]]:
    said: list[dict[str, str]] = []

    async def send(numbered: Part) -> None:
        number, part = numbered
        with part:
            said.append(await upload.send(number, part, await checksum(part)))

    await each(_parts(body, part_bytes), send, at_a_time=_PARTS_AT_A_TIME)
    return sorted(said, key=lambda part: int(part["PartNumber"]))


def _parts(body: memoryview, part_bytes: int) -> Iterator[Part]:
    for number, start in enumerate(range(0, body.nbytes, part_bytes), start=1):
        yield number, body[start : start + part_bytes]
