"""A new file as a destination."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from chunker.destinations.descriptor import OpenDescriptor, translated
from chunker.errors import DestinationError, DestinationExists
from chunker.extents import Extent

_RESTORE_ID = "user.backupd.restore_id"
_NAME_CHARACTERS_MAX = 50  # At four bytes each and with the rest of the partial name: below the usual 255.


class FileDestination:
    """A sparse file that appears under its name only when it is whole.

    Until then it is ``.<name>.<8 hex>.partial`` beside it. The digits come from ``restore_id``, so that a
    restarted restore finds and removes what an earlier attempt left; where the file system has extended
    attributes the file carries it, for ``was_finished``. What is there is never replaced. Not preallocated: that
    took three times as long as writing into a hole.

    DestinationExists, DestinationMissing, DestinationTooSmall (the file system holds no file of that size),
    DestinationUnwritable.
    """

    def __init__(self, path: str | Path, size_bytes: int, *, restore_id: str, direct: bool = True) -> None:
        self._path = Path(path)
        self._restore_id = restore_id
        self._partial = _partial_name(self._path.name, restore_id)
        self._is_finished = False
        self.size_bytes = size_bytes
        with translated(self._path, "cannot be created"):
            # Everything below is relative to the directory as it is now, wherever its path leads later.
            self._directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._file = self._create(direct=direct)
            except BaseException:
                os.close(self._directory)
                raise

    def _create(self, *, direct: bool) -> OpenDescriptor:
        self._refuse_taken_name()
        # Removed, not truncated: an attempt that lost its lease and still writes must not reach the new file.
        with suppress(FileNotFoundError):
            os.unlink(self._partial, dir_fd=self._directory)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._partial, flags, 0o600, dir_fd=self._directory)
        with suppress(OSError):  # Not supported everywhere, and nothing but a restart needs it.
            os.setxattr(descriptor, _RESTORE_ID, self._restore_id.encode())
        try:
            os.ftruncate(descriptor, self.size_bytes)
        except BaseException:
            os.close(descriptor)
            os.unlink(self._partial, dir_fd=self._directory)
            raise
        return OpenDescriptor(self._path, descriptor, size_bytes=self.size_bytes, direct=direct)

    def _refuse_taken_name(self) -> None:
        """DestinationExists when something has the final name."""
        with suppress(FileNotFoundError):
            os.stat(self._path.name, dir_fd=self._directory, follow_symlinks=False)
            raise DestinationExists(f"{self._path} exists; expected a name that is free")

    def write(self, offset_bytes: int, buffer: memoryview) -> None:
        self._file.write(offset_bytes, buffer)

    def zero(self, extent: Extent) -> None:
        self._file.zero(extent)

    def finish(self) -> None:
        if self._is_finished:
            return
        if not self._file.is_open:
            raise DestinationError(f"{self._path} cannot be finished: it was aborted before")
        self._file.sync()
        with translated(self._path, "cannot be given its name"):
            self._publish()
            os.fsync(self._directory)
        self._is_finished = True
        self._close()

    def _publish(self) -> None:
        if not self._has_partial_name():
            raise DestinationError(f"{self._path} cannot be given its name: another attempt has taken over")
        # By the open file, not by its name, which another attempt may give to its own file at any time.
        held = f"/proc/self/fd/{self._file.number}"
        os.link(held, self._path.name, dst_dir_fd=self._directory, follow_symlinks=True)
        os.unlink(self._partial, dir_fd=self._directory)

    def abort(self) -> None:
        if not self._file.is_open:
            return
        with translated(self._path, "cannot be removed"):
            if self._has_partial_name():
                os.unlink(self._partial, dir_fd=self._directory)
        self._close()

    def _has_partial_name(self) -> bool:
        """Tell whether the partial name still leads to our file, not to that of a later attempt."""
        with suppress(FileNotFoundError):
            found = os.stat(self._partial, dir_fd=self._directory, follow_symlinks=False)
            return os.path.samestat(found, os.fstat(self._file.number))
        return False

    def _close(self) -> None:
        self._file.close()
        os.close(self._directory)


def was_finished(path: str | Path, *, restore_id: str) -> bool:
    """Tell whether an earlier attempt of this restore finished the file, and finish what it did not tidy up.

    False where the file system cannot tell. DestinationUnwritable.
    """
    place = Path(path)
    try:
        found = os.getxattr(place, _RESTORE_ID, follow_symlinks=False)
    except OSError:
        return False
    if found != restore_id.encode():
        return False
    with translated(place, "cannot be made durable"):
        place.with_name(_partial_name(place.name, restore_id)).unlink(missing_ok=True)
        directory = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    return True


def _partial_name(name: str, restore_id: str) -> str:
    digest = hashlib.sha256(f"{restore_id}\0{name}".encode(errors="surrogateescape")).hexdigest()
    return f".{name[:_NAME_CHARACTERS_MAX]}.{digest[:8]}.partial"
