"""The directories between the root and an object, opened one below the other: no link can lead out."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from targets.errors import InvalidKey
from targets.local.files import DIRECTORY, DIRECTORY_MODE, LocalFiles

_DURABLE_COUNT_MAX = 4096


class Folders:
    """Opens directories and makes missing ones."""

    def __init__(self, files: LocalFiles) -> None:
        self._files = files
        # Those whose own entry is on disk. One that is merely there may be another thread's, not synced yet.
        self._durable: set[str] = set()

    @contextmanager
    def parent(self, root: int, key: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Open the directory of a key, and give the key's last name with it."""
        *names, last = key.split("/")
        with ExitStack() as held:
            directory = root
            for depth, name in enumerate(names, start=1):
                path = "/".join(names[:depth])
                below = self._made(name, directory, path) if create else self._open(name, directory)
                above = held.pop_all()
                held.callback(self._files.close, below)
                above.close()  # One descriptor at a time, however deep the key.
                directory = below
            yield directory, last

    def _made(self, name: str, directory: int, path: str) -> int:
        try:
            if path in self._durable:
                with suppress(FileNotFoundError):  # Somebody removed it.
                    return self._open(name, directory)
            with suppress(FileExistsError):
                self._files.mkdir(name, DIRECTORY_MODE, dir_fd=directory)
            self._files.fsync(directory)
            self._remember(path)
            return self._open(name, directory)
        except NotADirectoryError:
            raise folder_conflict(path) from None

    def _remember(self, path: str) -> None:
        if len(self._durable) >= _DURABLE_COUNT_MAX:
            self._durable.clear()  # Costs a few system calls again, and bounds the memory.
        self._durable.add(path)

    def _open(self, name: str, directory: int) -> int:
        try:
            return self._files.open(name, DIRECTORY, dir_fd=directory)
        except NotADirectoryError:
            if stat.S_ISLNK(self._files.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                raise link_refused(name) from None
            raise


def folder_conflict(key: str) -> InvalidKey:
    """Return the error for a key that is both an object and a folder."""
    return InvalidKey(f"key {key!r}: no object may be a folder of another one")


def link_refused(name: str) -> OSError:
    """Return the error for a link that must not be followed; not every system call gives it by itself."""
    return OSError(errno.ELOOP, f"{name} is a symbolic link, expected a file or directory: {os.strerror(errno.ELOOP)}")
