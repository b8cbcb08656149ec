"""The manifest: one backup's root, sealed with the repository's keys (docs/formats/manifest.md). Pure."""

from __future__ import annotations

import json
import struct
import uuid
from dataclasses import asdict, dataclass, fields
from typing import Any

from backupd.errors import CorruptObject
from chunker.digest import Ids, Kind
from chunker.errors import CorruptFrame, UnknownFormat
from chunker.frame import OVERHEAD_BYTES_MAX, PLAIN_SIZE_BYTES_MAX, FrameReader, FrameWriter, check, plain_size
from chunker.keys import RepositoryKeys
from chunker.node import Pointer
from chunker.tree import Tree

VERSION = 1
_MAGIC = b"BKDMANI1"
_HEADER = struct.Struct("<8s16s32s")
assert _HEADER.size == 56


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that a restore needs to know, and what an operator wants to see, without any database."""

    backup_id: str
    backup_name: str
    volume_id: str
    volume_name: str
    mode: str
    parent_id: str | None
    full_read_reason: str | None
    created_at: str
    finished_at: str
    size_bytes: int
    chunk_size_bytes: int
    root: Pointer | None
    source_identity: str
    source_token: str | None
    statistics: dict[str, Any]

    @property
    def tree(self) -> Tree:
        return Tree(self.root, chunk_count(self.size_bytes, self.chunk_size_bytes))


def chunk_count(size_bytes: int, chunk_size_bytes: int) -> int:
    """Return how many chunks a volume has; the last may be short."""
    return -(-size_bytes // chunk_size_bytes)


def encode(manifest: Manifest, keys: RepositoryKeys, writer: FrameWriter) -> bytes:
    """Return the object's bytes."""
    named = asdict(manifest) | {"version": VERSION, "root": _root_to_json(manifest.root)}
    plain = json.dumps(named, sort_keys=True, separators=(",", ":")).encode()
    if len(plain) > PLAIN_SIZE_BYTES_MAX:
        raise ValueError(f"manifest of {len(plain)} bytes, expected at most {PLAIN_SIZE_BYTES_MAX}")
    manifest_id = Ids(keys.id_key).of(Kind.MANIFEST, plain)
    frame = memoryview(bytearray(len(plain) + OVERHEAD_BYTES_MAX))
    length = writer.encode(Kind.MANIFEST, manifest_id, memoryview(plain), frame)
    return _HEADER.pack(_MAGIC, uuid.UUID(manifest.backup_id).bytes, manifest_id) + frame[:length]


def check_stored(backup_id: str, body: bytes) -> memoryview:
    """Return the frame of a stored manifest. CorruptObject, UnknownFormat.

    This needs no key, and does not see whether the 32 bytes of the id before the frame are right.
    """
    if len(body) < _HEADER.size:
        raise CorruptObject(f"a manifest of {len(body)} bytes is shorter than its header of {_HEADER.size}")
    magic, found_id, _ = _HEADER.unpack_from(body)
    if magic != _MAGIC:
        if magic[:7] == _MAGIC[:7]:
            raise UnknownFormat(f"manifest version {magic[7:]!r}; this reader knows {_MAGIC[7:]!r}")
        raise CorruptObject(f"a manifest starts with {_MAGIC!r}, found {magic!r}")
    if found_id != uuid.UUID(backup_id).bytes:
        raise CorruptObject(f"the manifest is that of backup {uuid.UUID(bytes=found_id)}")
    frame = memoryview(body)[_HEADER.size :]
    try:
        check(frame)
    except CorruptFrame as error:
        raise CorruptObject(str(error)) from error
    return frame


def decode(backup_id: str, body: bytes, keys: RepositoryKeys) -> Manifest:
    """Open the manifest of ``backup_id``; CorruptObject when it is damaged, UnknownFormat when it is newer."""
    frame = check_stored(backup_id, body)
    manifest_id = _HEADER.unpack_from(body)[2]
    try:
        plain = bytearray(min(plain_size(frame), PLAIN_SIZE_BYTES_MAX))
        FrameReader(keys).decode(Kind.MANIFEST, manifest_id, frame, memoryview(plain))
    except CorruptFrame as error:
        raise CorruptObject(str(error)) from error
    manifest = _from_json(json.loads(plain))
    if manifest.backup_id != backup_id:
        raise CorruptObject(f"the manifest's content is that of backup {manifest.backup_id}")
    return manifest


def _from_json(named: dict[str, Any]) -> Manifest:
    version = named.pop("version", None)
    if version != VERSION:
        raise UnknownFormat(f"manifest version {version!r}; this reader knows {VERSION}")
    expected = {field.name for field in fields(Manifest)}
    if named.keys() != expected:
        raise UnknownFormat(f"manifest fields {sorted(named.keys() ^ expected)} are missing or not known here")
    return Manifest(**named | {"root": _root_from_json(named["root"])})


def _root_to_json(root: Pointer | None) -> dict[str, Any] | None:
    if root is None:
        return None
    return {"id": root.id.hex(), "pack": root.pack.hex(), "offset": root.offset, "length": root.length}


def _root_from_json(root: dict[str, Any] | None) -> Pointer | None:
    if root is None:
        return None
    return Pointer(bytes.fromhex(root["id"]), bytes.fromhex(root["pack"]), root["offset"], root["length"])
