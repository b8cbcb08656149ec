"""Where a volume is to be restored to -> its destination."""

from __future__ import annotations

from pathlib import Path

from chunker.destinations.base import Destination
from chunker.destinations.descriptor import translated
from chunker.destinations.file import FileDestination
from chunker.destinations.in_place import open_device, open_image
from chunker.errors import DestinationError, DestinationExists


def open_destination(
    path: str | Path, size_bytes: int, *, restore_id: str, overwrite: bool = False, direct: bool = True
) -> Destination:
    """Open the block device at ``path`` if ``overwrite`` is set, since it always holds something; or a new file there.

    DestinationExists when a file is there, whatever is set, or a device that may not be overwritten.
    DestinationError when the path is not absolute, and what the destination itself raises.
    """
    place = Path(path)
    if not place.is_absolute():
        raise DestinationError(f"destination {place}: expected an absolute path")
    with translated(place, "cannot be looked up"):
        is_device = place.is_block_device()
    if not is_device:
        return FileDestination(place, size_bytes, restore_id=restore_id, direct=direct)
    if not overwrite:
        raise DestinationExists(
            f"{place} is a block device, all of whose contents would be replaced\n"
            "HINT: allow overwriting if that is what you want"
        )
    return open_device(place, size_bytes, direct=direct)


def open_existing(path: str | Path, size_bytes: int, *, direct: bool = True) -> Destination:
    """Open what is at ``path`` to be overwritten where it is, whatever it holds. Raises what the destination raises."""
    place = Path(path)
    with translated(place, "cannot be looked up"):
        is_device = place.is_block_device()
    if is_device:
        return open_device(place, size_bytes, direct=direct)
    return open_image(place, size_bytes, direct=direct)
