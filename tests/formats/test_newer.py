"""P8: what a newer version wrote is refused by the name of its format, in whatever form its version is."""

from __future__ import annotations

import json
import re

import pytest
import xxhash

from backupd.errors import CorruptObject
from backupd.repository import condemned, description, forward, manifest, writer
from chunker import node, pack
from chunker.digest import Ids, Kind
from chunker.errors import UnknownFormat
from chunker.frame import OVERHEAD_BYTES_MAX, FrameReader, FrameWriter, plain_size
from tests.formats import golden


def resealed_manifest(*, version: int | None) -> bytes:
    """Return the sample manifest, its content saying another version, sealed as its writer would."""
    frame = memoryview(golden.published_manifest())[56:]
    opened = bytearray(plain_size(frame))
    plain_id = golden.published_manifest()[24:56]
    FrameReader(golden.KEYS).decode(Kind.MANIFEST, plain_id, frame, memoryview(opened))
    plain = json.dumps(json.loads(opened) | {"version": version}).encode()
    writer = FrameWriter(golden.KEYS, compression_level=3, is_encrypted=True)
    manifest_id = Ids(golden.KEYS.id_key).of(Kind.MANIFEST, plain)
    out = memoryview(bytearray(len(plain) + OVERHEAD_BYTES_MAX))
    length = writer.encode(Kind.MANIFEST, manifest_id, memoryview(plain), out)
    return golden.published_manifest()[:24] + manifest_id + bytes(out[:length])


def test_p8_old_a_frame_of_a_newer_version_is_refused_by_name() -> None:
    newer = b"\2" + golden.frame(golden.RANDOM)[1:-8]
    newer += xxhash.xxh3_64_intdigest(newer).to_bytes(8, "little")
    chunk_id = Ids(golden.KEYS.id_key).of(Kind.CHUNK, golden.RANDOM)
    with pytest.raises(UnknownFormat, match=r"^frame version 2; this reader knows 1$"):
        FrameReader(golden.KEYS).decode(
            Kind.CHUNK, chunk_id, memoryview(newer), memoryview(bytearray(len(golden.RANDOM)))
        )


def test_p8_old_a_pack_of_a_newer_version_is_refused_by_name() -> None:
    newer = golden.pack().replace(b"BKDPACK1", b"BKDPACK2")
    with pytest.raises(UnknownFormat, match=r"^pack version b'2'; this reader knows b'1'$"):
        pack.read_footer(golden.PACK_ID, len(newer), memoryview(newer))


def test_p8_old_a_node_of_a_newer_version_is_refused_by_name() -> None:
    with pytest.raises(UnknownFormat, match=r"^node version 2; this reader knows 1$"):
        node.decode(0, b"\2" + golden.tree_node()[1:])


def test_p8_old_a_manifest_of_a_newer_version_is_refused_by_name() -> None:
    newer = golden.published_manifest().replace(b"BKDMANI1", b"BKDMANI2")
    with pytest.raises(UnknownFormat, match=r"^manifest version b'2'; this reader knows b'1'$"):
        manifest.decode(golden.BACKUP_ID, newer, golden.KEYS)


def test_p8_old_a_manifest_with_newer_content_is_refused_by_name() -> None:
    with pytest.raises(UnknownFormat, match=r"^manifest version 2; this reader knows 1$"):
        manifest.decode(golden.BACKUP_ID, resealed_manifest(version=2), golden.KEYS)


def test_p8_old_a_manifest_without_a_version_is_refused_by_name() -> None:
    with pytest.raises(UnknownFormat, match=r"^manifest version None; this reader knows 1$"):
        manifest.decode(golden.BACKUP_ID, resealed_manifest(version=None), golden.KEYS)


def test_p8_old_a_repository_of_a_newer_version_is_refused_by_name() -> None:
    # With a field that this reader does not know, as a newer version may well have.
    newer = json.dumps(json.loads(golden.repository()) | {"version": 2, "colour": "red"}).encode()
    expected = re.escape("repository.json: version 2; this reader knows 1")
    with pytest.raises(UnknownFormat, match=f"^{expected}$"):
        description.read(newer, golden.ring())


def test_p8_old_a_forward_of_a_newer_version_is_refused_by_name() -> None:
    with pytest.raises(UnknownFormat, match=r"^forward version b'2'; this reader knows b'1'$"):
        forward.decode(golden.PACK_ID, golden.moved().replace(b"BKDFWRD1", b"BKDFWRD2"))


def test_p8_old_a_condemnation_of_a_newer_version_is_refused_by_name() -> None:
    with pytest.raises(UnknownFormat, match=r"^condemnation version b'2'; this reader knows b'1'$"):
        condemned.decode(golden.CATALOG_ID, golden.condemnation().replace(b"BKDCOND1", b"BKDCOND2"))


def test_p8_old_a_writer_of_a_newer_version_is_refused_by_name() -> None:
    with pytest.raises(UnknownFormat, match=r"^writer version 2; this reader knows 1$"):
        writer.decode(golden.CATALOG_ID, golden.written_by().replace(b'"version":1', b'"version":2'))


@pytest.mark.parametrize("bit", range(8 * len(golden.moved())))
def test_p3_tell_no_bit_of_a_forward_can_flip_unnoticed(bit: int) -> None:
    body = bytearray(golden.moved())
    body[bit // 8] ^= 1 << bit % 8
    with pytest.raises((CorruptObject, UnknownFormat)):
        forward.decode(golden.PACK_ID, bytes(body))
