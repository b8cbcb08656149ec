"""Who else writes to a file: the locks that QEMU and ordinary programs hold on it."""

from __future__ import annotations

import fcntl
import os
import struct

# struct flock: type, whence, start, length (0: to the end), pid (0: locks of open files).
_FLOCK = struct.Struct("hhqqi4x")

# QEMU marks the permissions that it uses by shared locks on bytes from 100 on; 101 means "write"
# (block/file-posix.c: RAW_LOCK_PERM_BASE plus the bit of BLK_PERM_WRITE).
_QEMU_WRITE_BYTE = 101


def lock_of_a_writer(descriptor: int) -> str | None:
    """Say which lock shows that another one writes to the open file; None when there is none. OSError."""
    if _is_locked(descriptor, fcntl.F_WRLCK, start=_QEMU_WRITE_BYTE, length=1):
        return "QEMU's lock for writing, or a lock just like it,"
    if _is_locked(descriptor, fcntl.F_RDLCK, start=0, length=0):
        return "a write lock"
    return None


def _is_locked(descriptor: int, wanted: int, *, start: int, length: int) -> bool:
    """Tell whether a lock of the kind ``wanted`` could not be had; takes none."""
    question = _FLOCK.pack(wanted, os.SEEK_SET, start, length, 0)
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, question)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
