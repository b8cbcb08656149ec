"""A program that holds a file system still until its standard input ends or its time is up.

usage: freezer.py MOUNT SECONDS. It imports nothing of ours, so that it starts at once. It ends with 0 when it was
told to let go, with 1 when it could not freeze, and with 3 when the time was up.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys

_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878


def main() -> int:
    """Do it, and return how it ended."""
    mount, timeout_s = sys.argv[1], float(sys.argv[2])
    # Whoever stops the daemon's processes must not leave the file system frozen.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    descriptor = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(descriptor, _FIFREEZE, 0)
    except OSError as error:
        os.write(1, (error.strerror or "unknown error").lower().encode())
        return 1
    try:
        os.write(1, b"frozen")
        ready, _, _ = select.select([0], [], [], timeout_s)
    finally:
        fcntl.ioctl(descriptor, _FITHAW, 0)
    return 0 if ready else 3


if __name__ == "__main__":
    sys.exit(main())
