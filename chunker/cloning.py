"""A file or device copied to a file: shared where the file system can, else copied without its holes. Blocks."""

from __future__ import annotations

import errno
import fcntl
import os

# linux/fs.h: _IOW(0x94, 9, int). The copy shares the blocks and is of one moment.
_FICLONE = 0x40049409
_ZEROS = bytes(1024**2)
_NOT_THERE = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.ETXTBSY)


def share(source: int, copy: int) -> bool:
    """Let ``copy`` begin with the blocks of ``source``; False where that cannot be done. OSError."""
    try:
        fcntl.ioctl(copy, _FICLONE, source)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return False
        raise
    return True


def copy_part(source: int, copy: int, offset_bytes: int, length_bytes: int) -> None:
    """Copy a part, holes and zeros left out, so that the copy must read as zeros there. OSError."""
    position, end = offset_bytes, offset_bytes + length_bytes
    while position < end:
        position = _next_data(source, position, end)
        if position >= end:
            return
        block = os.pread(source, min(len(_ZEROS), end - position), position)
        if not block:
            return
        if block != _ZEROS[: len(block)]:
            _write(copy, block, position)
        position += len(block)


def _next_data(source: int, position: int, end: int) -> int:
    try:
        return os.lseek(source, position, os.SEEK_DATA)
    except OSError as error:
        # ENXIO: a hole to the end; others do not know their holes.
        return end if error.errno == errno.ENXIO else position


def _write(copy: int, block: bytes, position: int) -> None:
    view = memoryview(block)
    while view:
        written = os.pwrite(copy, view, position)
        view, position = view[written:], position + written
