"""What the Linux kernel tells about a block device."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

# linux/fs.h: _IOR(0x12, 114, size_t) on every architecture with the common ioctl numbers.
_BLKGETSIZE64 = 0x80081272
_BLKROGET = 0x125E  # _IO(0x12, 94)

# Where a device says which one it is, best first: unlike its number, these survive a reboot or a new cable.
_NAMES = ("wwid", "device/wwid", "serial", "device/serial", "dm/uuid", "loop/backing_file")


def size_bytes(descriptor: int) -> int:
    """Return the size of the open device. OSError."""
    (size,) = struct.unpack("Q", fcntl.ioctl(descriptor, _BLKGETSIZE64, bytes(8)))
    return int(size)


def is_read_only(descriptor: int) -> bool:
    """Tell whether the kernel refuses writes; it does so only at the first one, not at opening. OSError."""
    (flag,) = struct.unpack("i", fcntl.ioctl(descriptor, _BLKROGET, bytes(4)))
    return bool(flag)


def identity(number: int) -> str:
    """Return what tells the device ``number`` (``st_rdev``) from any other one."""
    device = f"{os.major(number)}:{os.minor(number)}"
    folder = Path("/sys/dev/block", device).resolve()
    name = f"block:{device}"
    if partition := _line(folder / "partition"):
        # A partition has no serial of its own; that of its disk and its number tell it apart.
        name += f":partition={partition}"
        folder = folder.parent
    return name + next((f":{key}={value}" for key in _NAMES if (value := _line(folder / key))), "")


def _line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""  # Most devices have only some of these files.
