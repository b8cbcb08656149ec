"""What small binary objects of a repository have in common: a magic in front, a checksum at the end. Pure."""

from __future__ import annotations

import struct

import xxhash

from backupd.errors import CorruptObject
from chunker.errors import UnknownFormat

_CHECKSUM = struct.Struct("<Q")


def seal(magic: bytes, content: bytes) -> bytes:
    """Return the object's bytes."""
    body = magic + content
    return body + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(body))


def open_sealed(what: str, magic: bytes, body: bytes) -> memoryview:
    """Return the content. CorruptObject when it is damaged, UnknownFormat when a newer version wrote it."""
    if len(body) < len(magic) + _CHECKSUM.size:
        raise CorruptObject(f"a {what} of {len(body)} bytes is too short")
    whole = memoryview(body)
    if bytes(whole[: len(magic)]) != magic:
        found = bytes(whole[: len(magic)])
        if found[:-1] == magic[:-1]:
            raise UnknownFormat(f"{what} version {found[-1:]!r}; this reader knows {magic[-1:]!r}")
        raise CorruptObject(f"a {what} starts with {magic!r}, found {found!r}")
    end = len(body) - _CHECKSUM.size
    if xxhash.xxh3_64_intdigest(whole[:end]) != _CHECKSUM.unpack_from(body, end)[0]:
        raise CorruptObject(f"{what} checksum mismatch")
    return whole[len(magic) : end]
