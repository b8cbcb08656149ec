"""The root directory of a local target: checked before each operation, never made again behind its back."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from targets.errors import Misconfigured, TargetGone
from targets.local import temporary
from targets.local.files import DIRECTORY, DIRECTORY_MODE, LocalFiles, translated

TEMP_DIRECTORY = ".tmp"

_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


class Root:
    """The root, and in it ``.tmp``, which holds unfinished objects and marks the root as the one we know.

    When a file system is unmounted or a directory moved away, another one may appear under the same path; one
    that was removed and made again may even have the same inode number. So both the root and its ``.tmp``
    must be those that were there at the start, else TargetGone.
    """

    def __init__(self, path: Path, *, create: bool, files: LocalFiles) -> None:
        """Find the root. Misconfigured when it is not there and may not be created."""
        self._files = files
        self._unwritable: OSError | None = None
        self.path = path
        with translated(f"root {path}"):
            if create:
                self._create()
            try:
                with files.opened(str(path), DIRECTORY & ~os.O_NOFOLLOW) as root:
                    self._identity = _identity(files.stat(root))
                    self._marker = self._adopt(root)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise Misconfigured(f"root {path}: expected a directory, or the option create") from error

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Open the root for one operation. TargetGone."""
        with self._opened_path() as root:
            if _identity(self._files.stat(root)) != self._identity:
                raise self._gone("another directory is there")
            if self._marker not in (None, self._marker_in(root)):  # None: it is not ours to write in.
                raise self._gone(f"its {TEMP_DIRECTORY} was removed or replaced")
            yield root

    @contextmanager
    def opened_temp(self, root: int) -> Iterator[int]:
        """Open the directory of unfinished objects in the open root."""
        if self._unwritable is not None:
            raise OSError(self._unwritable.errno, self._unwritable.strerror)
        with self._files.opened(TEMP_DIRECTORY, DIRECTORY, directory=root) as temp:
            yield temp

    @contextmanager
    def _opened_path(self) -> Iterator[int]:
        try:
            root = self._files.open(str(self.path), DIRECTORY & ~os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._gone("there is no directory") from error
        try:
            yield root
        finally:
            self._files.close(root)

    def _adopt(self, root: int) -> tuple[int, int] | None:
        try:
            with suppress(FileExistsError):
                self._files.mkdir(TEMP_DIRECTORY, DIRECTORY_MODE, dir_fd=root)
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            self._unwritable = error  # It can still be read from; each put tells why it cannot write.
            return None
        with self.opened_temp(root) as temp:
            temporary.clean(temp, self._files)
        return self._marker_in(root)

    def _marker_in(self, root: int) -> tuple[int, int] | None:
        try:
            return _identity(self._files.stat(TEMP_DIRECTORY, dir_fd=root, follow_symlinks=False))
        except FileNotFoundError:
            return None

    def _create(self) -> None:
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        for path in reversed(missing):
            with suppress(FileExistsError):
                self._files.mkdir(str(path), DIRECTORY_MODE)
            with self._files.opened(str(path.parent), DIRECTORY & ~os.O_NOFOLLOW) as parent:
                self._files.fsync(parent)

    def _gone(self, why: str) -> TargetGone:
        return TargetGone(f"root {self.path} vanished: {why}\nHINT: is its file system mounted?")


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
