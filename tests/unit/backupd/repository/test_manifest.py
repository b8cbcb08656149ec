from __future__ import annotations

from dataclasses import replace

import pytest

from backupd.errors import CorruptObject
from backupd.repository import manifest
from backupd.repository.manifest import Manifest
from chunker.errors import ChunkerError, UnknownFormat
from chunker.frame import PLAIN_SIZE_BYTES_MAX, FrameWriter
from chunker.keys import RepositoryKeys
from chunker.node import Pointer

KEYS = RepositoryKeys.generate()
BACKUP_ID = "7d444840-9dc0-4d5b-8f5c-2d1d7a0c2e11"
OTHER_ID = "00000000-9dc0-4d5b-8f5c-2d1d7a0c2e11"
MANIFEST = Manifest(
    backup_id=BACKUP_ID,
    backup_name="nightly",
    volume_id="volume",
    volume_name="disk",
    mode="full",
    parent_id=None,
    full_read_reason=None,
    created_at="2026-01-01T00:00:00+00:00",
    finished_at="2026-01-01T00:01:00+00:00",
    size_bytes=100_000,
    chunk_size_bytes=65536,
    root=Pointer(bytes(range(32)), bytes(range(16)), 7, 99),
    source_identity="disk",
    source_token=None,
    statistics={"read_bytes": 100_000},
)


def encode(value: Manifest, keys: RepositoryKeys = KEYS, *, is_encrypted: bool = True) -> bytes:
    return manifest.encode(value, keys, FrameWriter(keys, compression_level=3, is_encrypted=is_encrypted))


@pytest.mark.parametrize("is_encrypted", [True, False])
@pytest.mark.parametrize("root", [MANIFEST.root, None])
def test_what_was_encoded_is_decoded(root: Pointer | None, *, is_encrypted: bool) -> None:
    value = replace(MANIFEST, root=root)
    assert manifest.decode(BACKUP_ID, encode(value, is_encrypted=is_encrypted), KEYS) == value


@pytest.mark.parametrize(("size_bytes", "count"), [(0, 0), (1, 1), (65536, 1), (65537, 2), (2**50, 2**34)])
def test_the_tree_spans_the_volume(size_bytes: int, count: int) -> None:
    assert replace(MANIFEST, size_bytes=size_bytes).tree == (MANIFEST.root, count)


def test_the_manifest_of_another_backup_is_refused() -> None:
    with pytest.raises(CorruptObject, match=f"the manifest is that of backup {OTHER_ID}"):
        manifest.decode(BACKUP_ID, encode(replace(MANIFEST, backup_id=OTHER_ID)), KEYS)


def test_a_manifest_under_another_name_is_refused() -> None:
    renamed = bytearray(encode(replace(MANIFEST, backup_id=OTHER_ID)))
    renamed[8:24] = encode(MANIFEST)[8:24]
    with pytest.raises(CorruptObject, match=f"the manifest's content is that of backup {OTHER_ID}"):
        manifest.decode(BACKUP_ID, bytes(renamed), KEYS)


@pytest.mark.parametrize("is_encrypted", [True, False])
def test_the_manifest_of_another_repository_is_refused(*, is_encrypted: bool) -> None:
    theirs = encode(MANIFEST, RepositoryKeys.generate(), is_encrypted=is_encrypted)
    with pytest.raises((CorruptObject, ChunkerError)):
        manifest.decode(BACKUP_ID, theirs, KEYS)


def test_what_is_too_short_or_begins_otherwise_is_no_manifest() -> None:
    with pytest.raises(CorruptObject, match="a manifest of 55 bytes is shorter than its header of 56"):
        manifest.decode(BACKUP_ID, bytes(55), KEYS)
    with pytest.raises(CorruptObject, match="a manifest starts with b'BKDMANI1', found"):
        manifest.decode(BACKUP_ID, bytes(100), KEYS)


@pytest.mark.parametrize("is_encrypted", [True, False])
def test_every_flipped_bit_is_noticed(*, is_encrypted: bool) -> None:
    body = encode(MANIFEST, is_encrypted=is_encrypted)
    for bit in range(len(body) * 8):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptObject, UnknownFormat)):
            manifest.decode(BACKUP_ID, bytes(flipped), KEYS)


def test_every_cut_is_noticed() -> None:
    body = encode(MANIFEST)
    for length in range(len(body)):
        with pytest.raises(CorruptObject):
            manifest.decode(BACKUP_ID, body[:length], KEYS)


def test_a_manifest_that_no_reader_would_take_is_not_written() -> None:
    with pytest.raises(ValueError, match=f"expected at most {PLAIN_SIZE_BYTES_MAX}"):
        encode(replace(MANIFEST, full_read_reason="x" * PLAIN_SIZE_BYTES_MAX))
