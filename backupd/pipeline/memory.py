"""Memory for large buffers."""

from __future__ import annotations

import mmap
from contextlib import suppress

_HUGE_PAGE_SIZE_BYTES = 2 * 1024 * 1024


def pages(size_bytes: int) -> memoryview:
    """Return page-aligned memory of this process alone, in huge pages where the kernel has them (madvise(2))."""
    # Private, which is not what mmap does by itself: shared memory has small pages only.
    memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size_bytes >= _HUGE_PAGE_SIZE_BYTES:
        with suppress(OSError):  # Of a kernel that was built without them.
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)
