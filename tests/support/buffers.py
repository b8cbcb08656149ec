"""Buffers as the pipeline has them: at the start of a page, so that O_DIRECT takes them."""

from __future__ import annotations

import mmap


def aligned(content: bytes) -> memoryview:
    """Return a writable buffer with ``content`` that starts at a page."""
    buffer = memoryview(mmap.mmap(-1, max(len(content), 1)))[: len(content)]
    buffer[:] = content
    return buffer
