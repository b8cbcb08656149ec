"""Reads and writes that pass by the page cache, where the file system and the alignment allow it."""

from __future__ import annotations

import ctypes
import os

ALIGNMENT_BYTES = 4096  # Enough for every block size that Linux file systems and disks have today.


def reopen(descriptor: int, flags: int) -> int | None:
    """Open the same file again with O_DIRECT; None where that is refused."""
    try:
        # Not by its path: that may lead elsewhere by now.
        return os.open(f"/proc/self/fd/{descriptor}", flags | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return None


def is_aligned(offset_bytes: int, buffer: memoryview, *, size_bytes: int) -> bool:
    """Tell whether O_DIRECT may move ``buffer`` to or from a file of ``size_bytes``."""
    if buffer.readonly or not buffer.nbytes:  # The address of a read-only buffer cannot be asked for.
        return False
    address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    return (
        address | offset_bytes | buffer.nbytes
    ) % ALIGNMENT_BYTES == 0 and offset_bytes + buffer.nbytes <= size_bytes - size_bytes % ALIGNMENT_BYTES
