"""The MD5 by which Swift tells whether what arrived is what was sent, off the loop."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

from targets.errors import Unavailable

# Below this a thread costs more than the sum, some 1.5 ms for a MiB.
_INLINE_BYTES_MAX = 64 * 1024
_PIECE_BYTES = 256 * 1024
_THREADS = 4


class Checksums:
    """Owns the threads that add up. MD5 is no protection against anybody, and none is needed here."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="target-swift")

    async def md5(self, body: memoryview) -> str:
        """Return the sum in hex. When it is cancelled, nobody reads ``body`` any more."""
        if body.nbytes <= _INLINE_BYTES_MAX:
            return hashlib.md5(body, usedforsecurity=False).hexdigest()
        stop = threading.Event()
        work = self._executor.submit(_md5, body, stop)
        try:
            return await asyncio.wrap_future(work)
        finally:
            if not work.done() and not work.cancel():
                stop.set()
                work.exception()  # Blocks, for less than a piece takes: 0.4 ms.

    async def check(self, key: str, content: bytes, etag: str) -> None:
        """Raise Unavailable if ``content`` is not what the store says that it sent."""
        with memoryview(content) as view:
            if await self.md5(view) != etag:
                raise Unavailable(f"get {key}: what arrived does not have the MD5 that Swift tells ({etag})")

    def close(self) -> None:
        """End the threads; may be called twice."""
        self._executor.shutdown()


def _md5(body: memoryview, stop: threading.Event) -> str:
    total = hashlib.md5(usedforsecurity=False)
    for start in range(0, body.nbytes, _PIECE_BYTES):
        if stop.is_set():
            break
        with body[start : start + _PIECE_BYTES] as piece:
            total.update(piece)
    return total.hexdigest()
