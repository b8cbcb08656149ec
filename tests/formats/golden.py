"""The inputs of the golden files: fixed keys, nonces and contents. `python -m tests.formats.golden` writes them.

A released file is never written again: a new format version gets a directory of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from backupd.repository import condemned, description, forward, keyring, manifest, writer
from backupd.repository.condemned import Condemnation
from backupd.repository.description import Description
from backupd.repository.forward import Place
from backupd.repository.keyring import Keyring
from backupd.repository.manifest import Manifest
from backupd.repository.writer import Writer
from chunker import node
from chunker.digest import Ids, Kind
from chunker.frame import OVERHEAD_BYTES_MAX, FrameWriter
from chunker.keys import RepositoryKeys
from chunker.node import Pointer
from chunker.pack import PackWriter

DIRECTORY = Path(__file__).parent / "v1"
KEYS = RepositoryKeys(repository_id=bytes(range(16)), id_key=bytes(range(32, 64)), data_key=bytes(range(64, 96)))
MASTER_KEY = bytes(range(96, 128))
PACK_ID = bytes(range(160, 176))
OTHER_PACK_ID = bytes(range(176, 192))
CATALOG_ID = bytes(range(192, 208)).hex()
BACKUP_ID = "7d444840-9dc0-4d5b-8f5c-2d1d7a0c2e11"
COMPRESSIBLE = b"chunked " * 8
RANDOM = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(2))


def counting_nonces() -> Callable[[int], bytes]:
    """Return a source of nonces 01 01 ..., 02 02 ..., so that the files come out the same each time."""
    drawn = 0

    def draw(size_bytes: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return bytes([drawn]) * size_bytes

    return draw


def frame(plain: bytes, *, is_encrypted: bool = True) -> bytes:
    writer = FrameWriter(KEYS, compression_level=3, is_encrypted=is_encrypted, draw_nonce=counting_nonces())
    out = memoryview(bytearray(len(plain) + OVERHEAD_BYTES_MAX))
    chunk_id = Ids(KEYS.id_key).of(Kind.CHUNK, plain)
    return bytes(out[: writer.encode(Kind.CHUNK, chunk_id, memoryview(plain), out)])


def pack() -> bytes:
    writer = PackWriter(PACK_ID, memoryview(bytearray(4096)))
    for plain in (COMPRESSIBLE, RANDOM):
        writer.append(Kind.CHUNK, Ids(KEYS.id_key).of(Kind.CHUNK, plain), memoryview(frame(plain)))
    return bytes(writer.seal())


def tree_node() -> bytes:
    first = Pointer(Ids(KEYS.id_key).of(Kind.CHUNK, COMPRESSIBLE), PACK_ID, 0, len(frame(COMPRESSIBLE)))
    last = Pointer(Ids(KEYS.id_key).of(Kind.CHUNK, RANDOM), PACK_ID, first.length, len(frame(RANDOM)))
    return node.encode(0, {0: first, 511: last})


def sample_manifest() -> Manifest:
    return Manifest(
        backup_id=BACKUP_ID,
        backup_name="nightly",
        volume_id="f81d4fae-7dec-41d0-a765-00a0c91e6bf6",
        volume_name="db-1",
        mode="full",
        parent_id=None,
        full_read_reason=None,
        created_at="2026-11-24T03:00:00+00:00",
        finished_at="2026-11-24T03:00:09+00:00",
        size_bytes=512 * 65536,
        chunk_size_bytes=65536,
        root=Pointer(bytes(range(32)), PACK_ID, 210, 300),
        source_identity="serial:QM00013",
        source_token=None,
        statistics={"read_bytes": 512 * 65536},
    )


def published_manifest() -> bytes:
    writer = FrameWriter(KEYS, compression_level=3, is_encrypted=True, draw_nonce=counting_nonces())
    return manifest.encode(sample_manifest(), KEYS, writer)


def ring() -> Keyring:
    return Keyring([MASTER_KEY], origin="master.key")


def repository() -> bytes:
    opened = Description(keys=KEYS, is_encrypted=True, created_at="2026-11-24T03:00:00+00:00")
    return description.write(opened, ring(), counting_nonces())


def master_key_file() -> bytes:
    return keyring.line(MASTER_KEY).encode() + b"\n"


def moved() -> bytes:
    return forward.encode(PACK_ID, {0: Place(OTHER_PACK_ID, 0, 83), 83: Place(OTHER_PACK_ID, 1000, 124)})


def condemnation() -> bytes:
    return condemned.encode(Condemnation(CATALOG_ID, 7, [OTHER_PACK_ID, PACK_ID]))


def written_by() -> bytes:
    return writer.encode(Writer(CATALOG_ID, "node-1:/var/lib/backupd"))


FILES: dict[str, Callable[[], bytes]] = {
    "frame-zstd-encrypted.bin": lambda: frame(COMPRESSIBLE),
    "frame-raw-encrypted.bin": lambda: frame(RANDOM),
    "frame-zstd-plain.bin": lambda: frame(COMPRESSIBLE, is_encrypted=False),
    "frame-raw-plain.bin": lambda: frame(RANDOM, is_encrypted=False),
    "pack.bin": pack,
    "node.bin": tree_node,
    "manifest.bin": published_manifest,
    "forward.bin": moved,
    "condemned.bin": condemnation,
    "writer.json": written_by,
    "repository.json": repository,
    "master.key": master_key_file,
}


def main() -> None:
    """Write the files that are not there yet."""
    DIRECTORY.mkdir(exist_ok=True)
    for name, make in FILES.items():
        path = DIRECTORY / name
        if not path.exists():
            path.write_bytes(make())


if __name__ == "__main__":
    main()
