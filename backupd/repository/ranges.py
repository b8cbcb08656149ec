"""Which requests fetch a set of frames. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from chunker.node import Pointer

_PLACE = attrgetter("pack", "offset")
RANGE_BYTES_MAX = 16 * 1024 * 1024


class Range(NamedTuple):
    """One request: a stretch of one pack, and the frames in it that were asked for."""

    pack: bytes
    offset: int
    length: int
    pointers: list[Pointer]


def coalesce(pointers: Iterable[Pointer], *, gap_bytes_max: int) -> list[Range]:
    """Join frames of a pack that lie at most ``gap_bytes_max`` apart into one range of at most 16 MiB."""
    ranges: list[Range] = []
    for pointer in sorted(set(pointers), key=_PLACE):
        end = pointer.offset + pointer.length
        last = ranges[-1] if ranges else None
        if (
            last is not None
            and last.pack == pointer.pack
            and pointer.offset - (last.offset + last.length) <= gap_bytes_max
            and end - last.offset <= RANGE_BYTES_MAX
        ):
            last.pointers.append(pointer)
            ranges[-1] = last._replace(length=max(last.length, end - last.offset))
        else:
            ranges.append(Range(pointer.pack, pointer.offset, pointer.length, [pointer]))
    return ranges
