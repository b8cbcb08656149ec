"""Who makes a thread wait: every call of a built-in function that computes for long or asks a disk or a database."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Built-in functions that hash, compress, encrypt or wait for a disk.
_BLOCKING = {
    "digest", "readinto", "encrypt_into", "decrypt_into", "compress", "decompress",
    "pread", "preadv", "pwrite", "pwritev", "write", "fsync", "fdatasync", "link", "rename",
    "execute", "executemany", "executescript", "commit", "rollback",
    "open", "lseek", "ioctl", "scandir", "stat", "fstat", "lstat", "mkdir", "unlink", "ftruncate", "fallocate",
}  # fmt: skip
# Of a kilobyte at most, a few times a job: the way to a thread and back would take longer.
_SMALL = ("backupd/repository/manifest.py", "backupd/repository/description.py", "chunker/keys.py")
# The log goes to a stream that systemd or a terminal reads; imports happen once.
_ASIDE = ("logging/__init__.py", "<frozen importlib._bootstrap_external>")


@contextmanager
def calls_in_this_thread() -> Iterator[list[str]]:
    """Record every call of a blocking built-in function in the current thread."""
    seen: list[str] = []

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and _is_blocking(argument) and not _is_small(frame):
            seen.append(f"{argument.__name__} in {frame.f_code.co_filename}:{frame.f_lineno}")

    sys.setprofile(watch)
    try:
        yield seen
    finally:
        sys.setprofile(None)


def _is_blocking(function: Any) -> bool:
    is_in_memory = isinstance(getattr(function, "__self__", None), io.StringIO | io.BytesIO)
    return getattr(function, "__name__", "") in _BLOCKING and not is_in_memory


def _is_small(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.endswith((*_SMALL, *_ASIDE)):
            return True
        frame = frame.f_back
    return False
