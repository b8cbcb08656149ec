"""CRC-32C as the service writes it, computed without holding up the loop."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import google_crc32c

from targets.threads import outcome, shut_down

# The library lets go of the interpreter from here on, and what is shorter takes less than the way to a thread.
_IN_THREAD_BYTES = 1024 * 1024
_THREADS = 2
_CRC32C = re.compile(r"(?:^|,)\s*crc32c=([A-Za-z0-9+/=]+)")


class Checksums:
    """Computes checksums, large ones in threads of its own."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="target-gcs-crc")

    async def of(self, view: memoryview | bytes) -> str:
        """Return the checksum as base64. A cancellation waits for the thread, which reads the buffer."""
        if len(view) < _IN_THREAD_BYTES:
            return crc32c(view)
        return await outcome(self._executor.submit(partial(crc32c, view)))

    async def aclose(self) -> None:
        await shut_down(self._executor)


def crc32c(view: memoryview | bytes) -> str:
    """Return the CRC-32C of ``view``, big-endian in base64."""
    value = 0
    for start in range(0, len(view), _IN_THREAD_BYTES):
        # The library takes bytes only; copied piece by piece they stay in the cache of the processor.
        value = google_crc32c.extend(value, bytes(view[start : start + _IN_THREAD_BYTES]))
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def told_crc32c(headers: Iterable[str]) -> str | None:
    """Return the CRC-32C among the values of ``x-goog-hash``."""
    return next((found[1] for header in headers if (found := _CRC32C.search(header))), None)
