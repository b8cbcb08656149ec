"""Where the bytes of a file lie on its file system, and so where two clones of a file may differ.

Two clones that have the same logical range in the same physical one have the same bytes there: nobody overwrites
what is shared. That holds while both exist, so that no block of either is given to somebody else.
"""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from chunker.extents import Extent, between, merge
from chunker.sources.gathered import gather

_FS_IOC_FIEMAP = 0xC020660B
_SYNC = 1
_BATCH = 512
_HEADER = struct.Struct("=QQIIII")  # start, length, flags, mapped, room, reserved
_EXTENT = struct.Struct("=QQQQQIIII")  # logical, physical, length, 2 reserved, flags, 3 reserved
_LAST, _UNWRITTEN = 0x1, 0x800
# Unknown, not yet allocated, compressed or encrypted, not in blocks of its own: the place says nothing about the bytes.
_UNTOLD = 0x2 | 0x4 | 0x8 | 0x100 | 0x200 | 0x400
_ZEROS = object()


class MapsMoved(Exception):
    """The file system moved the blocks of a file while they were compared."""


class _Piece(NamedTuple):
    """Bytes up to ``end_bytes``; those of two files are the same if their ``place`` is."""

    end_bytes: int
    place: object


def differences(old: int, new: int, *, old_size_bytes: int, size_bytes: int) -> tuple[Extent, ...]:
    """Return where the open file ``new`` may differ from ``old``. OSError, or MapsMoved: ask again."""
    digest = blake2b()
    before = _pieces(_mapped(old, digest), size_bytes)
    after = _pieces(_mapped(new), size_bytes)
    found = gather(_unequal(before, after, size_bytes))
    # Blocks that moved during the walk might have left a place that others took.
    again = blake2b()
    for _ in _mapped(old, again):
        pass
    if digest.digest() != again.digest():
        raise MapsMoved
    return merge((*found, between(old_size_bytes, size_bytes)))


def _unequal(before: Iterator[_Piece], after: Iterator[_Piece], size_bytes: int) -> Iterator[Extent]:
    position = 0
    ours = theirs = _Piece(0, _ZEROS)
    while position < size_bytes:
        if ours.end_bytes <= position:
            ours = next(after)
        if theirs.end_bytes <= position:
            theirs = next(before)
        end = min(ours.end_bytes, theirs.end_bytes)
        if end > position and ours.place != theirs.place:
            yield between(position, end)
        position = max(position, end)


def _pieces(extents: Iterator[tuple[int, int, int, int]], size_bytes: int) -> Iterator[_Piece]:
    """Cut the bytes up to ``size_bytes`` into pieces; the iterator is used up in any case."""
    position = 0
    for logical, physical, length, flags in extents:
        start, end = min(logical, size_bytes), min(logical + length, size_bytes)
        if start > position:
            yield _Piece(start, _ZEROS)
        if end > start:
            yield _Piece(end, _place(logical, physical, flags))
            position = end
    yield _Piece(size_bytes, _ZEROS)


def _place(logical: int, physical: int, flags: int) -> object:
    if flags & _UNWRITTEN:
        return _ZEROS
    return object() if flags & _UNTOLD else physical - logical


def _mapped(descriptor: int, digest: blake2b | None = None) -> Iterator[tuple[int, int, int, int]]:
    """Yield (logical, physical, length, flags), ascending; what was yielded is also put into ``digest``."""
    position, is_last = 0, False
    while not is_last:
        batch = bytearray(_HEADER.size + _BATCH * _EXTENT.size)
        _HEADER.pack_into(batch, 0, position, 2**64 - 1 - position, _SYNC, 0, _BATCH, 0)
        fcntl.ioctl(descriptor, _FS_IOC_FIEMAP, batch)
        count = _HEADER.unpack_from(batch)[3]
        if not count:
            return
        told = memoryview(batch)[_HEADER.size :][: count * _EXTENT.size]
        if digest is not None:
            digest.update(told)
        for logical, physical, length, _, _, flags, _, _, _ in _EXTENT.iter_unpack(told):
            yield logical, physical, length, flags
            position, is_last = logical + length, bool(flags & _LAST)
