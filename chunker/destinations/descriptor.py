"""An open file or device that a volume is written to: what both kinds of destination share."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chunker import direct_io
from chunker.destinations.zeroing import zero
from chunker.errors import (
    DestinationBusy,
    DestinationError,
    DestinationExists,
    DestinationFull,
    DestinationMissing,
    DestinationTooSmall,
    DestinationUnwritable,
)
from chunker.extents import Extent

_KINDS: dict[int, type[DestinationError]] = {
    errno.ENOENT: DestinationMissing,
    errno.ENOTDIR: DestinationMissing,
    errno.ENXIO: DestinationMissing,
    errno.ENODEV: DestinationMissing,
    errno.EEXIST: DestinationExists,
    errno.EBUSY: DestinationBusy,
    errno.ENOSPC: DestinationFull,
    errno.EDQUOT: DestinationFull,
    errno.EFBIG: DestinationTooSmall,
}


class OpenDescriptor:
    """Positioned writes within ``size_bytes``, past the page cache where possible. Owns ``descriptor``."""

    def __init__(self, path: Path, descriptor: int, *, size_bytes: int, direct: bool) -> None:
        self._path = path
        self._descriptor = descriptor
        self._size_bytes = size_bytes
        self._direct_descriptor = direct_io.reopen(descriptor, os.O_WRONLY) if direct else None

    @property
    def is_open(self) -> bool:
        return self._descriptor != _CLOSED

    @property
    def number(self) -> int:
        return self._descriptor

    def write(self, offset_bytes: int, buffer: memoryview) -> None:
        """Write the whole buffer. DestinationFull, DestinationUnwritable, DestinationError behind the end."""
        self._refuse_misuse(Extent(offset_bytes, buffer.nbytes))
        with translated(self._path, f"cannot be written at byte {offset_bytes}"):
            written = self._write_direct(offset_bytes, buffer)
            while written < buffer.nbytes:
                written += os.pwrite(self._descriptor, buffer[written:], offset_bytes + written)

    def _write_direct(self, offset_bytes: int, buffer: memoryview) -> int:
        if self._direct_descriptor is None or not direct_io.is_aligned(
            offset_bytes, buffer, size_bytes=self._size_bytes
        ):
            return 0
        try:
            return os.pwrite(self._direct_descriptor, buffer, offset_bytes)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return 0  # Opened, but refused for this range: the buffered write that follows is as good.
            raise

    def zero(self, extent: Extent) -> None:
        """Make the extent read as zeros. Raises as ``write``."""
        self._refuse_misuse(extent)
        with translated(self._path, f"cannot be zeroed at byte {extent.offset_bytes}"):
            zero(self._descriptor, extent)

    def sync(self) -> None:
        """Make all that was written durable. DestinationFull, DestinationUnwritable."""
        with translated(self._path, "cannot be made durable"):
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close; may be called twice."""
        for descriptor in (self._descriptor, self._direct_descriptor):
            if descriptor not in (None, _CLOSED):
                os.close(descriptor)
        self._descriptor, self._direct_descriptor = _CLOSED, None

    def _refuse_misuse(self, extent: Extent) -> None:
        if not self.is_open:
            raise DestinationError(f"{self._path} cannot be written: it was finished or aborted before")
        if extent.end_bytes > self._size_bytes:
            raise DestinationError(
                f"{self._path} has {self._size_bytes} bytes: "
                f"expected no write of {extent.length_bytes} bytes at {extent.offset_bytes}"
            )


_CLOSED = -1


@contextmanager
def translated(path: Path, failure: str) -> Iterator[None]:
    """Turn the operating system's errors into ours, named by what could not be done."""
    try:
        yield
    except OSError as error:
        kind = _KINDS.get(error.errno or 0, DestinationUnwritable)
        raise kind(f"{path} {failure}: {(error.strerror or 'unknown error').lower()}") from error
