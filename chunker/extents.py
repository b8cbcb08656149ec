"""Extents of a volume and their algebra. Pure: no I/O, no state.

The functions that take several extents accept them in any order, overlapping or empty, and return them
*merged*: ascending, none empty, no two touching. So two results describe the same bytes if they are equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Extent:
    """``length_bytes`` bytes of a volume from ``offset_bytes`` on. ValueError if either is negative."""

    offset_bytes: int
    length_bytes: int

    def __post_init__(self) -> None:
        if self.offset_bytes < 0 or self.length_bytes < 0:
            raise ValueError(f"extent of {self.length_bytes} bytes at {self.offset_bytes}: neither may be negative")

    @property
    def end_bytes(self) -> int:
        """The offset of the first byte behind the extent."""
        return self.offset_bytes + self.length_bytes


def between(start_bytes: int, end_bytes: int) -> Extent:
    """Return the extent from ``start_bytes`` up to, not including, ``end_bytes``; empty if they cross."""
    return Extent(start_bytes, max(end_bytes - start_bytes, 0))


def clip(extents: Iterable[Extent], within: Extent) -> tuple[Extent, ...]:
    """Return the parts of ``extents`` that lie in ``within``."""
    return intersect(extents, (within,))


def merge(extents: Iterable[Extent]) -> tuple[Extent, ...]:
    """Return the same bytes as the fewest extents, ascending."""
    merged: list[Extent] = []
    for extent in sorted(extents):
        if extent.length_bytes == 0:
            continue
        if merged and extent.offset_bytes <= merged[-1].end_bytes:
            merged[-1] = between(merged[-1].offset_bytes, max(merged[-1].end_bytes, extent.end_bytes))
        else:
            merged.append(extent)
    return tuple(merged)


def align(extents: Iterable[Extent], *, chunk_size_bytes: int, size_bytes: int) -> tuple[Extent, ...]:
    """Return all chunks that ``extents`` touch in a volume of ``size_bytes``; its last chunk may be short."""
    grown = (
        between(
            extent.offset_bytes // chunk_size_bytes * chunk_size_bytes,
            -(-extent.end_bytes // chunk_size_bytes) * chunk_size_bytes,
        )
        for extent in extents
        if extent.length_bytes
    )
    return clip(grown, Extent(0, size_bytes))


def intersect(left: Iterable[Extent], right: Iterable[Extent]) -> tuple[Extent, ...]:
    """Return the bytes that are in both."""
    ours, theirs = merge(left), merge(right)
    common: list[Extent] = []
    i = j = 0
    while i < len(ours) and j < len(theirs):
        shared = between(max(ours[i].offset_bytes, theirs[j].offset_bytes), min(ours[i].end_bytes, theirs[j].end_bytes))
        if shared.length_bytes:
            common.append(shared)
        # The one that ends first can meet nothing further on the other side.
        if ours[i].end_bytes <= theirs[j].end_bytes:
            i += 1
        else:
            j += 1
    return tuple(common)


def subtract(left: Iterable[Extent], right: Iterable[Extent]) -> tuple[Extent, ...]:
    """Return the bytes of ``left`` that are not in ``right``."""
    kept = merge(left)
    if not kept:
        return ()
    return intersect(kept, gaps(right, Extent(0, kept[-1].end_bytes)))


def gaps(extents: Iterable[Extent], within: Extent) -> tuple[Extent, ...]:
    """Return the parts of ``within`` that no extent covers."""
    free: list[Extent] = []
    position = within.offset_bytes
    for extent in clip(extents, within):
        if extent.offset_bytes > position:
            free.append(between(position, extent.offset_bytes))
        position = extent.end_bytes
    if position < within.end_bytes:
        free.append(between(position, within.end_bytes))
    return tuple(free)
