"""Which requests fetch a set of frames. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from chunker.node import Pointer

_PLACE = attrgetter("pack", "offset")
RANGE_BYTES_MAX = 16 * 1024 * 1024


class Range(NamedTuple):
    """One request: a stretch of one pack, and the frames in it that were asked for.

    ``hops`` counts the forwards that were followed to get there.
    """

    pack: bytes
    offset: int
    length: int
    pointers: list[Pointer]
    hops: int = 0


def coalesce(pointers: Iterable[Pointer], *, gap_bytes_max: int) -> list[Range]:
    """Join frames of a pack that lie at most ``gap_bytes_max`` apart into one range of at most 16 MiB."""
    ranges: list[Range] = []
    joined: list[Pointer] = []
    start = end = 0
    for pointer in sorted(set(pointers), key=_PLACE):
        _, pack, offset, length = pointer
        if (
            joined
            and joined[0].pack == pack
            and offset - end <= gap_bytes_max
            and offset + length - start <= RANGE_BYTES_MAX
        ):
            joined.append(pointer)
            end = max(end, offset + length)
            continue
        if joined:
            ranges.append(Range(joined[0].pack, start, end - start, joined))
        joined, start, end = [pointer], offset, offset + length
    if joined:
        ranges.append(Range(joined[0].pack, start, end - start, joined))
    return ranges
