"""The clones of image files: what each point in time is read from, and what the next one is compared with.

They lie in a directory beside the images, since a clone must be on the same file system. Each is named after
the inode of its image and numbered in the order in which they were made.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

DIRECTORY = ".backupd-clones"
_LEFT_BEHIND_MAX = 16  # Crashes leave clones, the next commit removes them; where none comes, so many stay.
_FICLONE = 0x40049409
_GETVERSION = 0x80087601
_NAME = re.compile(r"(\d+-\d+)\.(\d+)\.[0-9a-f]{32}")


class Clone(NamedTuple):
    """A clone by its number and path."""

    number: int
    path: Path


class Clones:
    """The clones of one image that is open as ``descriptor``. Whoever reads a clone holds a shared lock on it."""

    def __init__(self, image: Path, descriptor: int) -> None:
        """Make the directory when there is none. OSError."""
        self.directory = image.parent / DIRECTORY
        with suppress(FileExistsError):
            self.directory.mkdir(mode=0o700)
        if self.directory.is_symlink():
            raise OSError(errno.ELOOP, f"{self.directory} is a symbolic link")
        self.inode = _inode(descriptor)
        self.identity = f"reflink:{self._directory_id()}:{self.inode}"

    def is_of(self, image: Path) -> bool:
        """Tell whether this still is the file at that path. OSError."""
        descriptor = os.open(image, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            return _inode(descriptor) == self.inode
        finally:
            os.close(descriptor)

    def take(self, descriptor: int) -> tuple[Clone, int]:
        """Return a new clone, on the disk, and its descriptor, which holds the lock. OSError."""
        number = max((one.number for one in self.all()), default=0) + 1
        path = self.directory / f"{self.inode}.{number}.{uuid.uuid4().hex}"
        clone = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        try:
            fcntl.flock(clone, fcntl.LOCK_SH)
            fcntl.ioctl(clone, _FICLONE, descriptor)
            os.fsync(clone)
            _fsync(self.directory)
        except BaseException:
            path.unlink()
            os.close(clone)
            raise
        return Clone(number, path), clone

    def all(self) -> list[Clone]:
        """Return all clones of the image, the oldest first. OSError."""
        return sorted(self._found())

    def open(self, token: str) -> int | None:
        """Return a descriptor of the clone that a token is of; None when it is gone or was written to. OSError."""
        name = token.partition(":")[0]
        if not _NAME.fullmatch(name):
            return None
        try:
            descriptor = os.open(self.directory / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        if token_of(Path(name), descriptor) == token:
            return descriptor
        os.close(descriptor)
        return None

    def prune(self, newest: Clone) -> None:
        """Remove those that ``newest``, which was committed, makes useless. OSError."""
        for one in self.all():
            if one.number < newest.number:
                _remove_unread(one)

    def bound(self) -> None:
        """Remove the oldest when crashes have left very many. OSError."""
        for one in self.all()[:-_LEFT_BEHIND_MAX]:
            _remove_unread(one)

    def _found(self) -> Iterator[Clone]:
        for path in self.directory.iterdir():
            named = _NAME.fullmatch(path.name)
            if named and named[1] == self.inode:
                yield Clone(int(named[2]), path)

    def _directory_id(self) -> str:
        """Return what tells this directory from all others, also once its file system is mounted elsewhere."""
        path = self.directory / "id"
        with suppress(FileNotFoundError):
            return path.read_text("ascii")
        fresh = self.directory / f"{uuid.uuid4().hex}.tmp"
        fresh.write_text(uuid.uuid4().hex, "ascii")
        with suppress(FileExistsError):  # Another one was faster.
            os.link(fresh, path)
        fresh.unlink()
        return path.read_text("ascii")


def token_of(path: Path, descriptor: int) -> str:
    """Return what finds a clone again, and shows whether it was written to since."""
    found = os.fstat(descriptor)
    return f"{path.name}:{found.st_size}:{found.st_mtime_ns}"


def _inode(descriptor: int) -> str:
    """Return number and generation: together they are never given to another file."""
    generation = bytearray(8)
    fcntl.ioctl(descriptor, _GETVERSION, generation)
    return f"{os.fstat(descriptor).st_ino}-{struct.unpack_from('=I', generation)[0]}"


def _remove_unread(clone: Clone) -> None:
    try:
        descriptor = os.open(clone.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        clone.path.unlink(missing_ok=True)
    except BlockingIOError:
        return  # Somebody reads it.
    finally:
        os.close(descriptor)


def _fsync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
