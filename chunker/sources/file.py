"""A regular file or a block device as a source."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chunker import block_device, direct_io
from chunker.errors import SourceBusy, SourceChanged, SourceMissing, SourceTooShort, SourceUnreadable
from chunker.extents import Extent, between
from chunker.sources.base import Changes, ParentPoint
from chunker.sources.writers import lock_of_a_writer

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.ENODEV)


class FileSource:
    """The raw bytes of a regular file or a block device.

    Unless ``allow_live``, one that somebody else writes to is refused, and so is one that was written while
    it was read. ``direct_io`` passes by the page cache where that is possible.
    """

    def __init__(self, path: str | Path, *, allow_live: bool = False, direct_io: bool = False) -> None:
        self._path = Path(path)
        self._allow_live = allow_live
        self._direct_io = direct_io

    def open(self) -> FilePoint:
        """Open the file. SourceMissing, SourceBusy, SourceUnreadable, SourceChanged."""
        with translated(self._path, "cannot be opened"):
            found = self._path.stat()
            if not (stat.S_ISREG(found.st_mode) or stat.S_ISBLK(found.st_mode)):
                raise SourceMissing(f"{self._path} is neither a regular file nor a block device")
            descriptor = self._open(is_device=stat.S_ISBLK(found.st_mode))
        try:
            if not os.path.samestat(found, os.fstat(descriptor)):
                raise SourceChanged(f"{self._path} was replaced while it was opened")
            return self._point(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def _open(self, *, is_device: bool) -> int:
        # O_NONBLOCK: should a pipe take the place of the file now, opening it must not wait for a writer.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        if is_device and not self._allow_live:
            flags |= os.O_EXCL  # Refused while the device is mounted or part of a volume group or an array.
        return os.open(self._path, flags)

    def _point(self, descriptor: int) -> FilePoint:
        with translated(self._path, "cannot be opened"):
            point = FilePoint(self._path, descriptor, may_be_written=self._allow_live)
            if point.is_device and not point.size_bytes:  # As a loop or network device that is not attached.
                raise SourceMissing(f"{self._path} has no medium: it is a block device of 0 bytes")
            if not self._allow_live and (lock := lock_of_a_writer(descriptor)):
                raise SourceBusy(f"{self._path} is being written: {lock} is held on it\n{_BUSY_HINT}")
        point.check()
        if self._direct_io:
            point.use_direct_io()
        return point


class FilePoint:
    """A file as it is while it is open: nothing but ``check`` tells whether it held still."""

    token: str | None = None

    def __init__(self, path: Path, descriptor: int, *, may_be_written: bool) -> None:
        self._path = path
        self._descriptor = descriptor
        self._direct_descriptor: int | None = None
        self._may_be_written = may_be_written
        found = os.fstat(descriptor)
        self.is_device = stat.S_ISBLK(found.st_mode)
        self.size_bytes = _size_bytes(descriptor, found)
        self.identity = _identity(found)
        self._stamp = self._stamp_of(found)

    def use_direct_io(self) -> None:
        """Pass by the page cache from now on, where the file system and the alignment of a read allow it."""
        self._direct_descriptor = direct_io.reopen(self._descriptor, os.O_RDONLY)

    @contextmanager
    def duplicate(self) -> Iterator[int]:
        """Lend the open file to who has more questions about it."""
        descriptor = os.dup(self._descriptor)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def changed_since(self, parent: ParentPoint) -> Changes:
        if parent.identity != self.identity:
            return Changes(None, f"{self._path} is now {self.identity}, the parent is of {parent.identity}")
        kind = "block device" if self.is_device else "plain file"
        return Changes(None, f"a {kind} has no changed-block tracking")

    def data_extents(self, within: Extent) -> Iterator[Extent]:
        end = min(within.end_bytes, self.size_bytes)
        position = within.offset_bytes
        while position < end:
            with translated(self._path, f"cannot be mapped at byte {position}"):
                found = self._next_data(position, end)
            if found is None:
                return
            yield found
            position = found.end_bytes

    def _next_data(self, position: int, end: int) -> Extent | None:
        # No lock: nothing here or elsewhere uses the file position, which is all that the two calls change.
        try:
            start = os.lseek(self._descriptor, position, os.SEEK_DATA)
            stop = os.lseek(self._descriptor, start, os.SEEK_HOLE) if start < end else end
        except OSError as error:
            if error.errno == errno.ENXIO:
                return None  # A hole up to the end of the file.
            if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
                return between(position, end)  # It does not know its holes, as block devices never do.
            raise
        return between(start, min(stop, end)) if start < end else None

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        if offset_bytes + buffer.nbytes > self.size_bytes:
            self._refuse_short_read(offset_bytes, buffer.nbytes, max(self.size_bytes - offset_bytes, 0))
        with translated(self._path, f"cannot be read at byte {offset_bytes}"):
            filled = self._read_direct(offset_bytes, buffer)
            while filled < buffer.nbytes:
                count = os.preadv(self._descriptor, [buffer[filled:]], offset_bytes + filled)
                if not count:
                    self._refuse_short_read(offset_bytes, buffer.nbytes, filled)
                filled += count

    def _read_direct(self, offset_bytes: int, buffer: memoryview) -> int:
        if self._direct_descriptor is None or not direct_io.is_aligned(
            offset_bytes, buffer, size_bytes=self.size_bytes
        ):
            return 0
        try:
            return os.preadv(self._direct_descriptor, [buffer], offset_bytes)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return 0  # Opened, but refused for this range: the buffered read that follows is as good.
            raise

    def _refuse_short_read(self, offset_bytes: int, expected_bytes: int, got_bytes: int) -> None:
        raise SourceTooShort(f"{self._path} at byte {offset_bytes}: expected {expected_bytes} bytes, got {got_bytes}")

    def check(self) -> None:
        with translated(self._path, "cannot be checked"):
            held, named = os.fstat(self._descriptor), self._path.stat()
            size_bytes = _size_bytes(self._descriptor, held)
        for found in (named, held):
            if _identity(found) != self.identity:
                raise SourceChanged(f"{self._path} is now {_identity(found)}, it was {self.identity}")
        if size_bytes != self.size_bytes:
            raise SourceChanged(f"{self._path} now has {size_bytes} bytes, it had {self.size_bytes}")
        if self._stamp_of(held) != self._stamp:
            raise SourceChanged(f"{self._path} changed while it was read\n{_LIVE_HINT}")

    def _stamp_of(self, found: os.stat_result) -> tuple[int, int] | None:
        """Return what shows writes; a device's node shows none, and who allows them need not know."""
        if self._may_be_written or stat.S_ISBLK(found.st_mode):
            return None
        return found.st_mtime_ns, found.st_ctime_ns

    def commit(self) -> None:
        """Do nothing: there is no tracking to move on."""

    def rollback(self) -> None:
        """Do nothing: there is no tracking to keep."""

    def close(self) -> None:
        for descriptor in (self._descriptor, self._direct_descriptor):
            if descriptor not in (None, _CLOSED):
                os.close(descriptor)
        self._descriptor, self._direct_descriptor = _CLOSED, None


_CLOSED = -1  # Never a file: a late read fails.
_BUSY_HINT = "HINT: stop what uses it, or back up a snapshot of it, or allow live reads of this volume"
_LIVE_HINT = "HINT: back up a snapshot, or allow live reads of this volume if a mixed state will do"


def _identity(found: os.stat_result) -> str:
    if stat.S_ISBLK(found.st_mode):
        return block_device.identity(found.st_rdev)
    return f"file:{found.st_dev}:{found.st_ino}"


def _size_bytes(descriptor: int, found: os.stat_result) -> int:
    return block_device.size_bytes(descriptor) if stat.S_ISBLK(found.st_mode) else found.st_size


@contextmanager
def translated(path: Path, failure: str) -> Iterator[None]:
    """Turn the operating system's errors into ours, named by what could not be done."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        if error.errno in _MISSING:
            raise SourceMissing(f"{path} {failure}: {reason}") from error
        if error.errno == errno.EBUSY:
            raise SourceBusy(f"{path} {failure}: it is mounted or otherwise in use\n{_BUSY_HINT}") from error
        raise SourceUnreadable(f"{path} {failure}: {reason}") from error
