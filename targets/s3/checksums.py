"""The header by which a store verifies what arrived."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from concurrent.futures import Executor

import google_crc32c

from targets.s3.tasks import settled

# Up to this much is done at once, on the loop: a thread would cost more time than that.
_AT_ONCE_BYTES = 256 * 1024
# The library takes nothing but bytes; a copy of this size stays in the processor's cache.
_PIECE_BYTES = 256 * 1024


async def checksum_header(kind: str, body: memoryview, executor: Executor) -> dict[str, str]:
    """Return the header for ``body``; ``kind`` is one of the option ``checksum``."""
    if kind == "none":
        return {}
    header = _md5 if kind == "md5" else _crc32c
    if body.nbytes <= _AT_ONCE_BYTES:
        return header(body)
    return await settled(asyncio.get_running_loop().run_in_executor(executor, header, body))


def _crc32c(body: memoryview) -> dict[str, str]:
    crc = 0
    for start in range(0, body.nbytes, _PIECE_BYTES):
        crc = google_crc32c.extend(crc, bytes(body[start : start + _PIECE_BYTES]))
    return {"x-amz-checksum-crc32c": b64encode(crc.to_bytes(4, "big")).decode()}


def _md5(body: memoryview) -> dict[str, str]:
    return {"content-md5": md5(body)}


def md5(body: bytes | memoryview) -> str:
    """Return what ``Content-MD5`` says about ``body``: a checksum against accidents, no protection."""
    return b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
