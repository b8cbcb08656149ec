"""What is wrong with one stored object: by its checksums, which needs no key, or by its content. Pure; blocks."""

from __future__ import annotations

from dataclasses import dataclass

from backupd.errors import BackupdError, CorruptObject
from backupd.repository import forward, layout, manifest
from backupd.repository.description import check_form
from backupd.repository.repository import Repository
from chunker import frame, node, pack
from chunker.digest import Kind
from chunker.errors import ChunkerError, CorruptFrame, CorruptPack, UnknownFormat
from chunker.frame import PLAIN_SIZE_BYTES_MAX, FrameReader
from chunker.pack import PackEntry


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; without ``offset`` it is the object as a whole. ``frame_id`` says which frame it is."""

    message: str
    offset: int | None = None
    length: int | None = None
    frame_id: bytes | None = None


def inspect(key: str, body: memoryview, repository: Repository | None) -> list[Finding]:
    """Return what is wrong with the object of this key; without a repository only what needs no keys.

    Objects that are none of a repository have nothing that could be wrong.
    """
    if (pack_id := layout.pack_id(key)) is not None:
        return inspect_pack(pack_id, body, None if repository is None else FrameReader(repository.keys))
    if key == layout.REPOSITORY:
        return _inspect_description(body)
    if (pack_id := layout.forwarded_pack_id(key)) is not None:
        return _inspect_forward(pack_id, body)
    if (backup_id := layout.backup_id(key)) is not None:
        return _inspect_manifest(backup_id, body, repository)
    return []


def inspect_pack(pack_id: bytes, body: memoryview, reader: FrameReader | None) -> list[Finding]:
    """Return every frame of a pack that is damaged, or that its footer is, which says where frames are."""
    try:
        entries = pack.read_footer(pack_id, len(body), body)
    except (CorruptPack, UnknownFormat) as error:
        start = _footer_start(body)
        return [Finding(f"the footer: {error}", start, len(body) - start)]
    return [found for entry in entries if (found := _inspect_frame(entry, body, reader)) is not None]


def _footer_start(body: memoryview) -> int:
    try:
        size = pack.footer_size(body)
    except (CorruptPack, UnknownFormat):
        size = pack.TRAILER_SIZE_BYTES
    return max(0, len(body) - size)


def _inspect_frame(entry: PackEntry, body: memoryview, reader: FrameReader | None) -> Finding | None:
    stored = body[entry.offset : entry.offset + entry.length]
    try:
        check_frame(entry.kind, entry.id, stored, reader)
    except ChunkerError as error:
        message = f"frame {entry.id.hex()} at offset {entry.offset}: {error}"
        return Finding(message, entry.offset, entry.length, entry.id)
    return None


def check_frame(kind: Kind, frame_id: bytes, stored: memoryview, reader: FrameReader | None) -> None:
    """Raise a ChunkerError unless a frame holds what its id says; without ``reader`` only its checksum is looked at."""
    if reader is None:
        frame.check(stored)
        return
    size = frame.plain_size(stored)
    if size > PLAIN_SIZE_BYTES_MAX:
        raise CorruptFrame(f"frame of {size} plain bytes, expected at most {PLAIN_SIZE_BYTES_MAX}")
    if kind is not Kind.NODE:
        reader.verify(kind, frame_id, stored, size)
        return
    plain = memoryview(bytearray(size))
    reader.decode(kind, frame_id, stored, plain)
    node.decode(plain[1] if size > 1 else 0, plain)


def _inspect_description(body: memoryview) -> list[Finding]:
    try:
        check_form(bytes(body))
    except (CorruptObject, UnknownFormat) as error:
        return [Finding(str(error))]
    return []


def _inspect_forward(pack_id: bytes, body: memoryview) -> list[Finding]:
    try:
        forward.decode(pack_id, bytes(body))
    except (CorruptObject, UnknownFormat) as error:
        return [Finding(str(error))]
    return []


def _inspect_manifest(backup_id: str, body: memoryview, repository: Repository | None) -> list[Finding]:
    try:
        if repository is None:
            manifest.check_stored(backup_id, bytes(body))
        else:
            manifest.decode(backup_id, bytes(body), repository.keys)
    except (BackupdError, ChunkerError) as error:
        return [Finding(str(error))]
    return []
