"""An image file as a source: each point in time is a clone that shares the file's blocks."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from chunker.errors import SourceChanged, SourceMissing, SourceUnreadable
from chunker.extents import Extent
from chunker.sources.base import Changes, ParentPoint, PointInTime
from chunker.sources.file import FilePoint, FileSource, translated
from chunker.sources.freezing import frozen
from chunker.sources.reflink.clones import Clone, Clones, token_of
from chunker.sources.reflink.maps import MapsMoved, differences

# What a file system says that cannot clone, or whose inodes have no generation.
_UNABLE = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS)


class ReflinkSource:
    """An image file on a file system that can clone files; it may be in use.

    Where the file system cannot, it is read as the plain file that it is, with all that this means.
    ``freeze`` is where a file system is mounted that lies in the image.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        allow_live: bool = False,
        direct_io: bool = False,
        freeze: Path | None = None,
        freeze_timeout_s: float = 10.0,
    ) -> None:
        self.path = Path(path)
        self._allow_live = allow_live
        self._direct_io = direct_io
        self._freeze = freeze
        self._freeze_timeout_s = freeze_timeout_s

    def open(self) -> PointInTime:
        """Make a clone and open that. SourceMissing, SourceUnreadable, and what a plain file raises."""
        with translated(self.path, "cannot be opened"):
            image = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            if not stat.S_ISREG(os.fstat(image).st_mode):
                raise SourceMissing(f"{self.path} is no regular file")
            return self._point(image)
        finally:
            os.close(image)

    def _point(self, image: int) -> PointInTime:
        with translated(self.path, "cannot be cloned"):
            try:
                clones = Clones(self.path, image)
                clones.bound()
                clone, descriptor = self._taken(clones, image)
            except OSError as error:
                if error.errno not in _UNABLE:
                    raise
                reason = f"its file system cannot clone files ({(error.strerror or '').lower()})"
                plain = FileSource(self.path, allow_live=self._allow_live, direct_io=self._direct_io)
                return UnclonedPoint(plain.open(), f"{self.path} was read as a plain file: {reason}")
        try:
            point = FilePoint(clone.path, descriptor, may_be_written=False)
            if self._direct_io:
                point.use_direct_io()
            return ReflinkPoint(self.path, clones, clone, point, token=token_of(clone.path, descriptor))
        except BaseException:
            os.close(descriptor)
            raise

    def _taken(self, clones: Clones, image: int) -> tuple[Clone, int]:
        if self._freeze is None:
            return clones.take(image)
        if self._freeze.stat().st_dev == os.fstat(image).st_dev:
            # The clone would wait for the end of the freeze, which waits for the clone.
            raise SourceUnreadable(f"{self._freeze} cannot be frozen: the image itself is on that file system")
        with frozen(self._freeze, timeout_s=self._freeze_timeout_s):
            return clones.take(image)


class ReflinkPoint:
    """A clone of an image file."""

    def __init__(self, image: Path, clones: Clones, clone: Clone, point: FilePoint, *, token: str) -> None:
        self._image = image
        self._clones = clones
        self._clone = clone
        self._point = point
        self._is_ended = False
        self.size_bytes = point.size_bytes
        self.identity = clones.identity
        self.token: str | None = token

    def changed_since(self, parent: ParentPoint) -> Changes:
        if parent.identity != self.identity:
            return Changes(None, f"{self._image} is now {self.identity}, the parent is of {parent.identity}")
        if parent.token is None:
            return Changes(None, "the parent has no token")
        with translated(self._image, "cannot be compared with its clones"), self._point.duplicate() as ours:
            old = self._clones.open(parent.token)
            if old is None:
                return Changes(None, f"{self._image} no longer has the clone of the parent, {parent.token[:100]!r}")
            try:
                found = differences(old, ours, old_size_bytes=os.fstat(old).st_size, size_bytes=self.size_bytes)
            except MapsMoved:
                return Changes(None, f"{self._image}: the file system moved blocks while clones were compared")
            finally:
                os.close(old)
        return Changes(found)

    def data_extents(self, within: Extent) -> Iterator[Extent]:
        return self._point.data_extents(within)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        self._point.read_into(offset_bytes, buffer)

    def check(self) -> None:
        """SourceChanged unless the path still leads to the image, and the clone is as it was made."""
        self._point.check()
        with translated(self._image, "cannot be checked"):
            is_there = self._clones.is_of(self._image)
        if not is_there:
            raise SourceChanged(f"{self._image} was replaced while a clone of it was read")

    def commit(self) -> None:
        """Remove the clones that nothing is compared with any more. SourceUnreadable."""
        if not self._is_ended:
            with translated(self._image, "old clones cannot be removed"):
                self._clones.prune(self._clone)
            self._is_ended = True

    def rollback(self) -> None:
        """Remove the clone; that of the parent is still there to compare with. SourceUnreadable."""
        if not self._is_ended:
            with translated(self._image, "the clone cannot be removed"):
                self._clone.path.unlink(missing_ok=True)
            self._is_ended = True

    def close(self) -> None:
        self._point.close()


class UnclonedPoint:
    """A plain file that should have been cloned: it tells why it was not."""

    def __init__(self, point: FilePoint, reason: str) -> None:
        self._point = point
        self._reason = reason
        self.size_bytes = point.size_bytes
        self.identity = point.identity
        self.token: str | None = None

    def changed_since(self, parent: ParentPoint) -> Changes:
        return Changes(None, self._reason)

    def data_extents(self, within: Extent) -> Iterator[Extent]:
        return self._point.data_extents(within)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        self._point.read_into(offset_bytes, buffer)

    def check(self) -> None:
        self._point.check()

    def commit(self) -> None:
        self._point.commit()

    def rollback(self) -> None:
        self._point.rollback()

    def close(self) -> None:
        self._point.close()
