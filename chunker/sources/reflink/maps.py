"""Where the bytes of a file lie on its file system, and so where two clones of a file may differ.

Two clones that have the same logical range in the same physical one have the same bytes there: nobody overwrites
what is shared. That holds while both exist, so that no block of either is given to somebody else.
"""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Callable, Iterator
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
_ZEROS = "zeros"
_UNKNOWN = "unknown"
_WALKS_MAX = 5
Mapped = Iterator[tuple[int, int, int, int]]
"""(logical, physical, length, flags) of each extent of a file, ascending."""


class MapsMoved(Exception):
    """The file system moved the blocks of a file whenever they were compared."""


class _Run(NamedTuple):
    """Bytes up to ``end_bytes``; those of two files are the same if their ``place`` is, and is known."""

    end_bytes: int
    place: int | str


def mapped(descriptor: int) -> Mapped:
    """Yield the extents of an open file, which are on the disk then (FS_IOC_FIEMAP, Linux's fiemap.rst)."""
    position, is_last = 0, False
    while not is_last:
        batch = bytearray(_HEADER.size + _BATCH * _EXTENT.size)
        _HEADER.pack_into(batch, 0, position, 2**64 - 1 - position, _SYNC, 0, _BATCH, 0)
        fcntl.ioctl(descriptor, _FS_IOC_FIEMAP, batch)
        count = _HEADER.unpack_from(batch)[3]
        if not count:
            return
        told = memoryview(batch)[_HEADER.size :][: count * _EXTENT.size]
        for logical, physical, length, _, _, flags, _, _, _ in _EXTENT.iter_unpack(told):
            yield logical, physical, length, flags
            position, is_last = logical + length, bool(flags & _LAST)


def differences(
    old: int, new: int, *, old_size_bytes: int, size_bytes: int, walk: Callable[[int], Mapped] = mapped
) -> tuple[Extent, ...]:
    """Return where the open file ``new`` may differ from ``old``. OSError, or MapsMoved: ask again."""
    for _ in range(_WALKS_MAX):
        before, after = _Map(old, size_bytes, walk), _Map(new, size_bytes, walk)
        found = gather(_unequal(before.runs(), after.runs(), size_bytes))
        # Blocks that moved during the walk might have left a place that others took.
        if before.is_the_same_now() and after.is_the_same_now():
            return merge((*found, between(old_size_bytes, size_bytes)))
    raise MapsMoved


class _Map:
    """Where the first ``size_bytes`` of an open file lie."""

    def __init__(self, descriptor: int, size_bytes: int, walk: Callable[[int], Mapped]) -> None:
        self._descriptor = descriptor
        self._size_bytes = size_bytes
        self._walk = walk
        self._digest = blake2b()

    def runs(self) -> Iterator[_Run]:
        """Yield the runs, ascending, up to the size.

        Neighbours in one place are one run: how a file system cuts them tells who else shares them, and changes
        whenever it comes to free what another clone had.
        """
        run = _Run(0, _ZEROS)
        for piece in self._pieces():
            if piece.place != run.place and run.end_bytes:
                self._digest.update(b"%d %s " % (run.end_bytes, str(run.place).encode()))
                yield run
            run = piece
        self._digest.update(b"%d %s " % (run.end_bytes, str(run.place).encode()))
        yield run

    def is_the_same_now(self) -> bool:
        """Walk again; ``runs`` was walked to its end before."""
        now = _Map(self._descriptor, self._size_bytes, self._walk)
        for _ in now.runs():
            pass
        return now._digest.digest() == self._digest.digest()

    def _pieces(self) -> Iterator[_Run]:
        position = 0
        for logical, physical, length, flags in self._walk(self._descriptor):
            start, end = min(logical, self._size_bytes), min(logical + length, self._size_bytes)
            if start > position:
                yield _Run(start, _ZEROS)
            if end > start:
                yield _Run(end, _place(logical, physical, flags))
                position = end
            if end == self._size_bytes:
                return
        if position < self._size_bytes:
            yield _Run(self._size_bytes, _ZEROS)


def _place(logical: int, physical: int, flags: int) -> int | str:
    if flags & _UNWRITTEN:
        return _ZEROS
    return _UNKNOWN if flags & _UNTOLD else physical - logical


def _unequal(before: Iterator[_Run], after: Iterator[_Run], size_bytes: int) -> Iterator[Extent]:
    position = 0
    ours = theirs = _Run(0, _ZEROS)
    while position < size_bytes:
        if ours.end_bytes <= position:
            ours = next(after)
        if theirs.end_bytes <= position:
            theirs = next(before)
        end = min(ours.end_bytes, theirs.end_bytes)
        if ours.place != theirs.place or ours.place == _UNKNOWN:
            yield between(position, end)
        position = end
