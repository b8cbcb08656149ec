"""A node of a volume tree: up to 512 pointers (docs/formats/tree.md). Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from chunker.errors import CorruptNode, UnknownFormat

VERSION = 1
FANOUT_BITS = 9
FANOUT = 1 << FANOUT_BITS
_HEADER = struct.Struct("<BBH")
_BITMAP_SIZE_BYTES = FANOUT // 8
_POINTER = struct.Struct("<32s16sII")
_TABLE_OFFSET = _HEADER.size + _BITMAP_SIZE_BYTES
NODE_SIZE_BYTES_MAX = _TABLE_OFFSET + FANOUT * _POINTER.size
assert (_TABLE_OFFSET, _POINTER.size, NODE_SIZE_BYTES_MAX) == (68, 56, 28740)


class Pointer(NamedTuple):
    """Where a frame is. The id is the truth, pack and place are a hint (packs may be compacted).

    A tuple and not a dataclass, because a backup makes one for each chunk: it takes a third of the time.
    """

    id: bytes
    pack: bytes
    offset: int
    length: int


Slots = dict[int, Pointer]


def encode(level: int, slots: Mapping[int, Pointer]) -> bytes:
    """Return the plain bytes of a node; equal slots give equal bytes."""
    numbers = sorted(slots)
    bitmap = sum(1 << number for number in numbers).to_bytes(_BITMAP_SIZE_BYTES, "little")
    table = b"".join(_POINTER.pack(*slots[number]) for number in numbers)
    return _HEADER.pack(VERSION, level, len(numbers)) + bitmap + table


def decode(level: int, plain: bytes | memoryview) -> Slots:
    """Return the slots of a node of ``level``; CorruptNode or UnknownFormat when it is not one."""
    if len(plain) < _TABLE_OFFSET:
        raise CorruptNode(f"a node of {len(plain)} bytes is shorter than its header of {_TABLE_OFFSET}")
    version, found_level, count = _HEADER.unpack_from(plain)
    if version != VERSION:
        raise UnknownFormat(f"node version {version}; this reader knows {VERSION}")
    if found_level != level:
        raise CorruptNode(f"node of level {found_level}, expected level {level}")
    bitmap = int.from_bytes(plain[_HEADER.size : _TABLE_OFFSET], "little")
    if bitmap.bit_count() != count or len(plain) != _TABLE_OFFSET + count * _POINTER.size:
        raise CorruptNode(f"node claims {count} pointers, has {bitmap.bit_count()} bits and {len(plain)} bytes")
    pointers = _POINTER.iter_unpack(plain[_TABLE_OFFSET:])
    return {number: Pointer(*next(pointers)) for number in range(FANOUT) if bitmap >> number & 1}


def height(chunk_count: int) -> int:
    """Return how many levels of nodes a volume of ``chunk_count`` chunks has; at least one."""
    levels = 1
    while chunk_count > FANOUT**levels:
        levels += 1
    return levels
