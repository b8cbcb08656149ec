"""A block device as a destination."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from chunker import block_device
from chunker.destinations.descriptor import OpenDescriptor, translated
from chunker.errors import DestinationError, DestinationMissing, DestinationTooSmall, DestinationUnwritable
from chunker.extents import Extent


class DeviceDestination:
    """A block device that nobody else uses, of at least ``size_bytes``; bytes behind those stay as they are.

    Unlike a file, a device keeps what was written before an abort: there is no name to hold back.

    DestinationMissing, DestinationBusy (mounted, or part of a volume group or an array), DestinationTooSmall,
    DestinationUnwritable.
    """

    def __init__(self, path: str | Path, size_bytes: int, *, direct: bool = True) -> None:
        self._path = Path(path)
        self._is_finished = False
        self.size_bytes = size_bytes
        with translated(self._path, "cannot be opened"):
            if not stat.S_ISBLK(self._path.stat().st_mode):
                raise DestinationMissing(f"{self._path} is not a block device")
            descriptor = os.open(self._path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
        self._device = OpenDescriptor(self._path, descriptor, size_bytes=size_bytes, direct=direct)
        try:
            self._refuse_unsuitable_device()
        except BaseException:
            self._device.close()
            raise

    def _refuse_unsuitable_device(self) -> None:
        with translated(self._path, "cannot be measured"):
            found_bytes = block_device.size_bytes(self._device.number)
            is_read_only = block_device.is_read_only(self._device.number)
        if is_read_only:
            raise DestinationUnwritable(f"{self._path} is read-only")
        if found_bytes < self.size_bytes:
            raise DestinationTooSmall(f"{self._path} has {found_bytes} bytes, expected at least {self.size_bytes}")

    def write(self, offset_bytes: int, buffer: memoryview) -> None:
        self._device.write(offset_bytes, buffer)

    def zero(self, extent: Extent) -> None:
        self._device.zero(extent)

    def finish(self) -> None:
        if self._is_finished:
            return
        if not self._device.is_open:
            raise DestinationError(f"{self._path} cannot be finished: it was aborted before")
        self._device.sync()
        self._is_finished = True
        self._device.close()

    def abort(self) -> None:
        """Let go of the device, which keeps what was written. May be called twice, and after ``finish``."""
        self._device.close()
