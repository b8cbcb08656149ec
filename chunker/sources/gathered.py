"""Any number of extents in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable

from chunker.extents import Extent, between

EXTENTS_MAX = 256 * 1024


def gather(extents: Iterable[Extent], *, count_max: int = EXTENTS_MAX) -> tuple[Extent, ...]:
    """Return ascending extents that cover all the given ones, in order, and more where there are too many."""
    gathered: list[Extent] = []
    gap_bytes = 0
    for extent in extents:
        if gathered and extent.offset_bytes - gathered[-1].end_bytes <= gap_bytes:
            gathered[-1] = between(gathered[-1].offset_bytes, max(extent.end_bytes, gathered[-1].end_bytes))
            continue
        gathered.append(extent)
        if len(gathered) > count_max:
            gap_bytes = max(65536, gap_bytes * 2)
            gathered = list(_joined(gathered, gap_bytes))
    return tuple(gathered)


def _joined(extents: list[Extent], gap_bytes: int) -> Iterable[Extent]:
    current = extents[0]
    for extent in extents[1:]:
        if extent.offset_bytes - current.end_bytes <= gap_bytes:
            current = between(current.offset_bytes, extent.end_bytes)
        else:
            yield current
            current = extent
    yield current
