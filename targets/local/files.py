"""The system calls of the local target, and what their errors mean."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from targets.errors import (
    InvalidKey,
    Misconfigured,
    PermissionDenied,
    QuotaExceeded,
    TargetError,
    TargetReadOnly,
    Unavailable,
)

DIRECTORY_MODE = 0o700
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalFiles:
    """Every system call of the local target goes through here, so that a test can make any of them fail."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    stat = staticmethod(os.stat)
    link = staticmethod(os.link)
    replace = staticmethod(os.replace)
    unlink = staticmethod(os.unlink)
    mkdir = staticmethod(os.mkdir)
    utime = staticmethod(os.utime)

    def write(self, descriptor: int, body: memoryview) -> int:
        return os.write(descriptor, body)

    def set_direct(self, descriptor: int, *, is_direct: bool) -> None:
        """Let writes pass by the page cache, or no longer (O_DIRECT, open(2))."""
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT if is_direct else flags & ~os.O_DIRECT)

    def pread(self, descriptor: int, length: int, offset: int) -> bytes:
        return os.pread(descriptor, length, offset)

    def preadv(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        return os.preadv(descriptor, [buffer], offset)

    def fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def scandir(self, directory: int) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        return os.scandir(directory)

    @contextmanager
    def opened(self, name: str, flags: int, *, directory: int | None = None) -> Iterator[int]:
        """Open ``name``, below ``directory`` if given, for as long as the body runs."""
        descriptor = self.open(name, flags, 0o600, dir_fd=directory)
        try:
            yield descriptor
        finally:
            self.close(descriptor)


class UnsyncedFiles(LocalFiles):
    """For those who would rather lose the last objects in a power cut than wait for the disk."""

    def fsync(self, descriptor: int) -> None:
        """Leave it to the system when to write."""

    def set_direct(self, descriptor: int, *, is_direct: bool) -> None:
        """Leave writes to the page cache, which does not wait for the disk."""


_BY_ERRNO: dict[int, type[TargetError]] = {
    errno.ENOSPC: QuotaExceeded,
    errno.EDQUOT: QuotaExceeded,
    errno.EFBIG: QuotaExceeded,
    errno.EROFS: TargetReadOnly,
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
    errno.ENAMETOOLONG: InvalidKey,  # Some file systems take shorter names than keys.py promises.
    errno.ELOOP: Misconfigured,  # A symbolic link below the root: it may lead out of it.
}


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise the TargetError for an OSError of the body; its message starts with ``doing``."""
    try:
        yield
    except OSError as error:
        # What is not in the table (EIO, ESTALE, EMFILE, ...) may pass, and retries are bounded.
        kind = _BY_ERRNO.get(error.errno or 0, Unavailable)
        raise kind(f"{doing}: {(error.strerror or type(error).__name__).lower()}") from error
