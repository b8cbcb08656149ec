"""A file that is there already as a destination: it keeps its name, its size and what is behind the volume."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from chunker.destinations.descriptor import OpenDescriptor, translated
from chunker.errors import DestinationBusy, DestinationError, DestinationMissing, DestinationTooSmall
from chunker.extents import Extent
from chunker.sources.writers import lock_of_a_writer


class ImageDestination:
    """A regular file of at least ``size_bytes`` that nobody else writes to; bytes behind those stay as they are.

    As a device it keeps what was written before an abort.

    DestinationMissing, DestinationBusy, DestinationTooSmall, DestinationUnwritable.
    """

    def __init__(self, path: str | Path, size_bytes: int, *, direct: bool = True) -> None:
        self._path = Path(path)
        self._is_finished = False
        self.size_bytes = size_bytes
        with translated(self._path, "cannot be opened"):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            self._refuse_unsuitable_file(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._file = OpenDescriptor(self._path, descriptor, size_bytes=size_bytes, direct=direct)

    def _refuse_unsuitable_file(self, descriptor: int) -> None:
        with translated(self._path, "cannot be looked at"):
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise DestinationMissing(f"{self._path} is not a regular file")
            if lock := lock_of_a_writer(descriptor):
                raise DestinationBusy(f"{self._path} is in use: {lock} is held on it")
        if found.st_size < self.size_bytes:
            raise DestinationTooSmall(f"{self._path} has {found.st_size} bytes, expected at least {self.size_bytes}")

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
        """Let go of the file, which keeps what was written. May be called twice, and after ``finish``."""
        self._file.close()
