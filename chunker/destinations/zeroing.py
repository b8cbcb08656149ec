"""Making a part of a file or device read as zeros, as cheaply as the system can."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct

from chunker.extents import Extent, between

_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h
_BLKZEROOUT = 0x127F  # linux/fs.h: _IO(0x12, 127)
_GRAIN_BYTES = 4096  # Both calls want whole blocks of a device; no block is larger.
_ZEROS = memoryview(bytes(1024 * 1024))

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def zero(descriptor: int, extent: Extent) -> None:
    """Make ``extent`` read as zeros. OSError."""
    start = -(-extent.offset_bytes // _GRAIN_BYTES) * _GRAIN_BYTES
    whole = between(start, extent.end_bytes // _GRAIN_BYTES * _GRAIN_BYTES)
    if not whole.length_bytes or not (_punch_hole(descriptor, whole) or _zero_out(descriptor, whole)):
        _write_zeros(descriptor, extent)
        return
    _write_zeros(descriptor, between(extent.offset_bytes, whole.offset_bytes))
    _write_zeros(descriptor, between(whole.end_bytes, extent.end_bytes))


def _punch_hole(descriptor: int, extent: Extent) -> bool:
    """Free the blocks; the kernel promises that they read as zeros. False where that is not supported."""
    mode = _PUNCH_HOLE | _KEEP_SIZE
    return bool(_libc.fallocate(descriptor, mode, extent.offset_bytes, extent.length_bytes) == 0)


def _zero_out(descriptor: int, extent: Extent) -> bool:
    """Let the kernel write the zeros. False for anything but a block device."""
    try:
        fcntl.ioctl(descriptor, _BLKZEROOUT, struct.pack("QQ", extent.offset_bytes, extent.length_bytes))
    except OSError:
        return False
    return True


def _write_zeros(descriptor: int, extent: Extent) -> None:
    position = extent.offset_bytes
    while position < extent.end_bytes:
        position += os.pwrite(descriptor, _ZEROS[: extent.end_bytes - position], position)
