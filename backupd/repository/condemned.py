"""What a collector is about to delete, told to whoever else may write (docs/formats/condemned.md). Pure."""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass

from backupd.errors import CorruptObject
from backupd.repository.sealed import open_sealed, seal

_MAGIC = b"BKDCOND1"
_HEADER = struct.Struct("<16sQI")
_PACK_ID_SIZE_BYTES = 16
assert _HEADER.size == 28


@dataclass(frozen=True, slots=True)
class Condemnation:
    """The packs that the daemons of one catalog delete once all their jobs are of ``epoch`` or later."""

    catalog_id: str
    epoch: int
    pack_ids: Collection[bytes]


def encode(condemnation: Condemnation) -> bytes:
    """Return the object's bytes."""
    ids = sorted(condemnation.pack_ids)
    header = _HEADER.pack(bytes.fromhex(condemnation.catalog_id), condemnation.epoch, len(ids))
    return seal(_MAGIC, header + b"".join(ids))


def decode(catalog_id: str, body: bytes) -> Condemnation:
    """Open the condemnation of ``catalog_id``; CorruptObject when damaged, UnknownFormat when it is newer."""
    content = open_sealed("condemnation", _MAGIC, body)
    if len(content) < _HEADER.size:
        raise CorruptObject(f"a condemnation of {len(body)} bytes is too short")
    found_id, epoch, count = _HEADER.unpack_from(content)
    if found_id.hex() != catalog_id:
        raise CorruptObject(f"the condemnation is that of catalog {found_id.hex()}")
    ids = bytes(content[_HEADER.size :])
    if len(ids) != count * _PACK_ID_SIZE_BYTES:
        raise CorruptObject(f"a condemnation of {count} packs has {len(ids)} bytes of them")
    step = _PACK_ID_SIZE_BYTES
    return Condemnation(catalog_id, epoch, [ids[start : start + step] for start in range(0, len(ids), step)])
