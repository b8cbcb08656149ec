"""A block device, or a file that is there already, as a destination: written where it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from chunker import block_device
from chunker.destinations.descriptor import OpenDescriptor, translated
from chunker.errors import (
    DestinationBusy,
    DestinationError,
    DestinationMissing,
    DestinationTooSmall,
    DestinationUnwritable,
)
from chunker.extents import Extent
from chunker.sources.writers import lock_of_a_writer


class InPlace:
    """What was at a path before; it keeps its name, its size and the bytes behind the volume.

    Unlike a new file it also keeps what was written before an abort: there is no name to hold back.
    """

    def __init__(self, path: Path, descriptor: int, *, size_bytes: int, direct: bool) -> None:
        """Own ``descriptor``, which nobody else writes to."""
        self._path = path
        self._file = OpenDescriptor(path, descriptor, size_bytes=size_bytes, direct=direct)
        self._is_finished = False
        self.size_bytes = size_bytes

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
        self._is_finished = True
        self._file.close()

    def abort(self) -> None:
        """Let go of it as it is. May be called twice, and after ``finish``."""
        self._file.close()


def open_device(path: str | Path, size_bytes: int, *, direct: bool = True) -> InPlace:
    """Open a block device that nobody else uses, of at least ``size_bytes``.

    DestinationMissing, DestinationBusy (mounted, or part of a volume group or an array), DestinationTooSmall,
    DestinationUnwritable.
    """
    place = Path(path)
    with translated(place, "cannot be opened"):
        if not stat.S_ISBLK(place.stat().st_mode):
            raise DestinationMissing(f"{place} is not a block device")
        descriptor = os.open(place, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    return _opened(place, descriptor, _device_size, size_bytes=size_bytes, direct=direct)


def open_image(path: str | Path, size_bytes: int, *, direct: bool = True) -> InPlace:
    """Open a regular file of at least ``size_bytes`` that nobody else writes to.

    DestinationMissing, DestinationBusy, DestinationTooSmall, DestinationUnwritable.
    """
    place = Path(path)
    with translated(place, "cannot be opened"):
        descriptor = os.open(place, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    return _opened(place, descriptor, _image_size, size_bytes=size_bytes, direct=direct)


def _opened(
    path: Path, descriptor: int, measure: Callable[[Path, int], int], *, size_bytes: int, direct: bool
) -> InPlace:
    try:
        with translated(path, "cannot be looked at"):
            found_bytes = measure(path, descriptor)
        if found_bytes < size_bytes:
            raise DestinationTooSmall(f"{path} has {found_bytes} bytes, expected at least {size_bytes}")
    except BaseException:
        os.close(descriptor)
        raise
    return InPlace(path, descriptor, size_bytes=size_bytes, direct=direct)


def _device_size(path: Path, descriptor: int) -> int:
    if block_device.is_read_only(descriptor):
        raise DestinationUnwritable(f"{path} is read-only")
    return block_device.size_bytes(descriptor)


def _image_size(path: Path, descriptor: int) -> int:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise DestinationMissing(f"{path} is not a regular file")
    if lock := lock_of_a_writer(descriptor):
        raise DestinationBusy(f"{path} is in use: {lock} is held on it")
    return found.st_size
