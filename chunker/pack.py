"""A pack: many frames in one object, and a footer that says what they are (docs/formats/pack.md). Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import xxhash

from chunker.digest import Kind
from chunker.errors import CorruptPack, UnknownFormat

PACK_ID_SIZE_BYTES = 16
PACK_SIZE_BYTES_MAX = 64 * 1024 * 1024
_MAGIC = b"BKDPACK1"
_MAGIC_ANY_VERSION = _MAGIC[:7]
_ENTRY = struct.Struct("<32sIIB3x")
_TRAILER = struct.Struct("<8s16sII")
_CHECKSUM = struct.Struct("<Q")
_KINDS = {int(kind): kind for kind in Kind}
TRAILER_SIZE_BYTES = _TRAILER.size + _CHECKSUM.size
ENTRY_SIZE_BYTES = _ENTRY.size
assert (ENTRY_SIZE_BYTES, TRAILER_SIZE_BYTES) == (44, 40)


class PackEntry(NamedTuple):
    """Where one frame lies in its pack. A tuple, because a repository has hundreds of millions of them."""

    id: bytes
    offset: int
    length: int
    kind: Kind


class PackWriter:
    """Gathers frames in a buffer of the caller's, which is at most ``PACK_SIZE_BYTES_MAX`` long."""

    def __init__(self, pack_id: bytes, buffer: memoryview) -> None:
        self.pack_id = pack_id
        self.entries: list[PackEntry] = []
        self._buffer = buffer
        self._frames_size = 0

    def fits(self, frame_size: int) -> bool:
        """Tell whether a frame of ``frame_size`` bytes still has room."""
        footer_size = (len(self.entries) + 1) * ENTRY_SIZE_BYTES + TRAILER_SIZE_BYTES
        return self._frames_size + frame_size + footer_size <= len(self._buffer)

    def append(self, kind: Kind, frame_id: bytes, frame: memoryview) -> PackEntry:
        """Copy ``frame`` to the end of the pack; the caller asked ``fits`` before."""
        entry = PackEntry(frame_id, self._frames_size, len(frame), kind)
        self._buffer[self._frames_size : self._frames_size + len(frame)] = frame
        self._frames_size += len(frame)
        self.entries.append(entry)
        return entry

    def seal(self) -> memoryview:
        """Add the footer and return the whole pack, which stays in the caller's buffer."""
        end = self._frames_size
        for entry in self.entries:
            _ENTRY.pack_into(self._buffer, end, *entry)
            end += ENTRY_SIZE_BYTES
        _TRAILER.pack_into(self._buffer, end, _MAGIC, self.pack_id, len(self.entries), self._frames_size)
        end += _TRAILER.size
        checksum = xxhash.xxh3_64_intdigest(self._buffer[self._frames_size : end])
        _CHECKSUM.pack_into(self._buffer, end, checksum)
        return self._buffer[: end + _CHECKSUM.size]


def footer_size(trailer: memoryview) -> int:
    """Return the size of the whole footer, given at least the last ``TRAILER_SIZE_BYTES`` of a pack.

    CorruptPack when this is no trailer; UnknownFormat when a newer version wrote it.
    """
    if len(trailer) < TRAILER_SIZE_BYTES:
        raise CorruptPack(f"{len(trailer)} bytes are too few for a pack's trailer of {TRAILER_SIZE_BYTES}")
    magic, _, count, _ = _TRAILER.unpack_from(trailer, len(trailer) - TRAILER_SIZE_BYTES)
    if magic != _MAGIC:
        if magic[:7] == _MAGIC_ANY_VERSION:
            raise UnknownFormat(f"pack version {magic[7:]!r}; this reader knows {_MAGIC[7:]!r}")
        raise CorruptPack(f"a pack's trailer starts with {_MAGIC!r}, found {magic!r}")
    return int(count) * ENTRY_SIZE_BYTES + TRAILER_SIZE_BYTES


def read_footer(pack_id: bytes, pack_size: int, footer: memoryview) -> list[PackEntry]:
    """Return the entries, in the order of their offsets, of the pack that ends with ``footer``.

    CorruptPack unless the checksum holds, the pack is ``pack_id`` and its frames tile it without a gap.
    """
    size = footer_size(footer)
    if len(footer) < size:
        raise CorruptPack(f"footer of {size} bytes, but only {len(footer)} are there")
    footer = footer[-size:]
    body = footer[: -_CHECKSUM.size]
    if xxhash.xxh3_64_intdigest(body) != _CHECKSUM.unpack_from(footer, len(body))[0]:
        raise CorruptPack("footer checksum mismatch")
    _, found_id, _, frames_size = _TRAILER.unpack_from(body, len(body) - _TRAILER.size)
    if found_id != pack_id:
        raise CorruptPack(f"the footer is that of pack {found_id.hex()}")
    if frames_size + size != pack_size:
        raise CorruptPack(f"{frames_size} bytes of frames and {size} of footer make no pack of {pack_size}")
    return list(_tiled_entries(body[: -_TRAILER.size], frames_size))


def _tiled_entries(table: memoryview, frames_size: int) -> Iterator[PackEntry]:
    end = 0
    for frame_id, offset, length, number in _ENTRY.iter_unpack(table):
        kind = _KINDS.get(number)
        if kind is None:
            raise UnknownFormat(f"frame kind {number} in a pack; this reader knows 1 to {max(Kind)}")
        if offset != end:
            raise CorruptPack(f"frame at offset {offset}, expected {end}")
        end += length
        yield PackEntry(frame_id, offset, length, kind)
    if end != frames_size:
        raise CorruptPack(f"frames end at {end}, expected {frames_size}")
