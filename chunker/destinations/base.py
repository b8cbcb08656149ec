"""What a restored volume is written to. Everything here may block and is called from worker threads."""

from __future__ import annotations

from typing import Protocol

from chunker.extents import Extent


class Destination(Protocol):
    """A place for one volume. ``write`` and ``zero`` may be called from several threads at once.

    All of them return before ``finish`` or ``abort`` is called, and no two of them overlap at the same time.
    """

    @property
    def size_bytes(self) -> int:
        """The size of the volume that is written."""

    def write(self, offset_bytes: int, buffer: memoryview) -> None:
        """Write the whole buffer. DestinationFull, DestinationUnwritable; DestinationError behind the end."""

    def zero(self, extent: Extent) -> None:
        """Make the extent read as zeros, cheaply where the medium can. Raises as ``write``."""

    def finish(self) -> None:
        """Make it all durable and visible. May be called twice. DestinationExists, or as ``write``."""

    def abort(self) -> None:
        """Leave nothing that could be taken for a result. May be called twice, and after ``finish``."""
