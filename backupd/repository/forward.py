"""A forward: where the frames of a pack are that was compacted away (docs/formats/forward.md). Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from backupd.errors import CorruptObject
from backupd.repository.sealed import open_sealed, seal

_MAGIC = b"BKDFWRD1"
_HEADER = struct.Struct("<16sI")
_ENTRY = struct.Struct("<I16sII")
assert (_HEADER.size, _ENTRY.size) == (20, 28)


class Place(NamedTuple):
    """Where a frame is."""

    pack: bytes
    offset: int
    length: int


Forward = Mapping[int, Place]
"""Offset of a frame in the pack that is gone -> where it is now."""


def encode(pack_id: bytes, places: Forward) -> bytes:
    """Return the object's bytes; equal forwards give equal bytes."""
    entries = b"".join(_ENTRY.pack(offset, *places[offset]) for offset in sorted(places))
    return seal(_MAGIC, _HEADER.pack(pack_id, len(places)) + entries)


def decode(pack_id: bytes, body: bytes) -> dict[int, Place]:
    """Open the forward of ``pack_id``; CorruptObject when it is damaged, UnknownFormat when it is newer."""
    content = open_sealed("forward", _MAGIC, body)
    if len(content) < _HEADER.size:
        raise CorruptObject(f"a forward of {len(body)} bytes is too short")
    found_id, count = _HEADER.unpack_from(content)
    if found_id != pack_id:
        raise CorruptObject(f"the forward is that of pack {found_id.hex()}")
    table = content[_HEADER.size :]
    if len(table) != count * _ENTRY.size:
        raise CorruptObject(f"a forward of {count} frames has {len(table)} bytes of them")
    return {offset: Place(*place) for offset, *place in _ENTRY.iter_unpack(table)}
