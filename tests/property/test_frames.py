"""Frames and packs: what goes in comes out, and one flipped bit anywhere is noticed."""

from __future__ import annotations

import dataclasses
import struct

import pytest
import xxhash
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from chunker import frame, pack
from chunker.digest import Ids, Kind, is_zero
from chunker.errors import ChunkerError, CorruptFrame, CorruptPack, UnknownFormat
from chunker.frame import OVERHEAD_BYTES_MAX, Codec, FrameReader, FrameWriter
from chunker.keys import RepositoryKeys
from chunker.pack import PackWriter
from chunker.xaes import TAG_SIZE_BYTES

KEYS = RepositoryKeys(repository_id=b"r" * 16, id_key=b"i" * 32, data_key=b"d" * 32)
IDS = Ids(KEYS.id_key)
contents = st.binary(min_size=1, max_size=300) | st.builds(
    lambda piece, times: piece * times, st.binary(min_size=1, max_size=20), st.integers(1, 400)
)


def encoded(
    plain: bytes,
    *,
    is_encrypted: bool = True,
    keys: RepositoryKeys = KEYS,
    kind: Kind = Kind.CHUNK,
    compression_level: int = 3,
) -> bytes:
    writer = FrameWriter(keys, compression_level=compression_level, is_encrypted=is_encrypted)
    out = memoryview(bytearray(len(plain) + OVERHEAD_BYTES_MAX))
    frame_id = Ids(keys.id_key).of(kind, plain)
    return bytes(out[: writer.encode(kind, frame_id, memoryview(plain), out)])


def decoded(stored: bytes, frame_id: bytes, size: int, *, kind: Kind = Kind.CHUNK) -> bytes:
    """Decode, and see that verifying comes to the same."""
    out = bytearray(size)
    reader = FrameReader(KEYS)
    try:
        reader.decode(kind, frame_id, memoryview(stored), memoryview(out))
    except ChunkerError as error:
        with pytest.raises(type(error)):
            reader.verify(kind, frame_id, memoryview(stored), size)
        raise
    reader.verify(kind, frame_id, memoryview(stored), size)
    return bytes(out)


def resealed(stored: bytearray) -> bytes:
    """Give altered bytes a right checksum, as somebody would who wants to deceive."""
    return bytes(stored[:-8]) + xxhash.xxh3_64_intdigest(stored[:-8]).to_bytes(8, "little")


@given(contents, st.booleans())
def test_a_frame_gives_back_what_it_was_made_of(plain: bytes, is_encrypted: bool) -> None:
    stored = encoded(plain, is_encrypted=is_encrypted)
    assert len(stored) <= len(plain) + OVERHEAD_BYTES_MAX
    assert decoded(stored, IDS.of(Kind.CHUNK, plain), len(plain)) == plain


@given(contents, st.booleans())
def test_a_frame_without_compression_is_raw_and_gives_back_its_content(plain: bytes, is_encrypted: bool) -> None:
    stored = encoded(plain, is_encrypted=is_encrypted, compression_level=0)
    assert stored[2] == Codec.RAW
    assert len(stored) == len(plain) + (OVERHEAD_BYTES_MAX if is_encrypted else OVERHEAD_BYTES_MAX - TAG_SIZE_BYTES)
    assert decoded(stored, IDS.of(Kind.CHUNK, plain), len(plain)) == plain


@given(contents, st.booleans(), st.data())
def test_p3_tell_a_flipped_bit_in_a_frame_is_noticed(plain: bytes, is_encrypted: bool, data: st.DataObject) -> None:
    stored = bytearray(encoded(plain, is_encrypted=is_encrypted))
    bit = data.draw(st.integers(0, len(stored) * 8 - 1))
    stored[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptFrame):
        decoded(bytes(stored), IDS.of(Kind.CHUNK, plain), len(plain))


@given(contents, st.booleans(), st.data())
def test_p3_tell_a_forged_checksum_does_not_help(plain: bytes, is_encrypted: bool, data: st.DataObject) -> None:
    stored = bytearray(encoded(plain, is_encrypted=is_encrypted))
    bit = data.draw(st.integers(0, (len(stored) - 8) * 8 - 1))
    if not is_encrypted and 12 <= bit // 8 < 36:
        return  # Without a cipher the nonce is unused: nothing that is handed out depends on it.
    stored[bit // 8] ^= 1 << bit % 8
    try:
        assert decoded(resealed(stored), IDS.of(Kind.CHUNK, plain), len(plain)) == plain
        assert not is_encrypted, "every bit of an encrypted frame is authenticated"
    except (CorruptFrame, UnknownFormat):
        pass


@given(contents, st.integers(0, 60))
def test_a_shortened_frame_is_noticed(plain: bytes, missing: int) -> None:
    stored = encoded(plain)
    with pytest.raises(CorruptFrame):
        decoded(stored[: max(len(stored) - 1 - missing, 0)], IDS.of(Kind.CHUNK, plain), len(plain))


@given(contents, contents)
def test_p3_tell_a_frame_cannot_stand_in_for_another(plain: bytes, other: bytes) -> None:
    if plain != other:
        with pytest.raises(CorruptFrame):
            decoded(encoded(plain), IDS.of(Kind.CHUNK, other), len(plain))


@pytest.mark.parametrize("field", ["repository_id", "id_key", "data_key"])
@pytest.mark.parametrize("is_encrypted", [True, False])
def test_p7_closed_a_wrong_key_never_yields_data(field: str, is_encrypted: bool) -> None:
    other = dataclasses.replace(KEYS, **{field: b"x" * len(getattr(KEYS, field))})
    plain = b"secret" * 100
    stored = encoded(plain, is_encrypted=is_encrypted, keys=other)
    asked = Ids(other.id_key).of(Kind.CHUNK, plain)
    if not is_encrypted and field != "id_key":
        assert decoded(stored, asked, len(plain)) == plain  # Not encrypted: only the id is keyed.
        return
    with pytest.raises(CorruptFrame):
        decoded(stored, asked, len(plain))


def test_a_chunk_does_not_pass_for_a_node() -> None:
    stored = encoded(b"node bytes in a volume")
    with pytest.raises(CorruptFrame, match="kind 1, expected 2"):
        decoded(stored, IDS.of(Kind.NODE, b"node bytes in a volume"), 22, kind=Kind.NODE)


def compressed_elsewhere(plain: bytes, *, says_size: bool) -> bytes:
    """Return the frame of ``plain``, not encrypted, compressed as another writer might."""
    payload = zstandard.ZstdCompressor(write_content_size=says_size).compress(plain)
    header = struct.pack("<BBBBII24s", 1, Kind.CHUNK, Codec.ZSTD, 0, len(plain), len(payload), bytes(24))
    return resealed(bytearray(header + payload + bytes(8)))


def test_a_compressed_payload_need_not_say_its_size() -> None:
    plain = b"plain" * 100
    stored = compressed_elsewhere(plain, says_size=False)
    assert decoded(stored, IDS.of(Kind.CHUNK, plain), len(plain)) == plain


@pytest.mark.parametrize("says_size", [True, False])
@pytest.mark.parametrize("size", [499, 501])
def test_p3_tell_a_payload_of_another_size_than_the_header_says_is_noticed(size: int, says_size: bool) -> None:
    plain = b"plain" * 100
    stored = bytearray(compressed_elsewhere(plain, says_size=says_size))
    stored[4:8] = size.to_bytes(4, "little")
    with pytest.raises(CorruptFrame):
        decoded(resealed(stored), IDS.of(Kind.CHUNK, plain), size)


def test_equal_bytes_never_make_equal_frames_when_encrypted() -> None:
    assert encoded(b"same") != encoded(b"same")


@pytest.mark.parametrize(("offset", "name"), [(0, "version"), (2, "codec"), (3, "cipher")])
def test_p8_old_an_unknown_value_is_refused_by_name(offset: int, name: str) -> None:
    stored = bytearray(encoded(b"plain" * 20))
    stored[offset] = 9
    with pytest.raises(UnknownFormat, match=f"{name} 9"):
        decoded(resealed(stored), IDS.of(Kind.CHUNK, b"plain" * 20), 100)


def test_the_checksum_needs_no_key() -> None:
    stored = bytearray(encoded(b"plain"))
    frame.check(memoryview(stored))
    stored[40] ^= 1
    with pytest.raises(CorruptFrame, match="checksum mismatch"):
        frame.check(memoryview(stored))


def test_keys_do_not_show_in_repr() -> None:
    assert "iiii" not in repr(KEYS)
    assert "dddd" not in repr(KEYS)


@given(st.lists(contents, max_size=8), st.data())
def test_a_pack_lists_its_frames_and_a_flipped_bit_in_the_footer_is_noticed(
    plains: list[bytes], data: st.DataObject
) -> None:
    writer = PackWriter(b"p" * 16, memoryview(bytearray(1 << 20)))
    frames = [encoded(plain) for plain in plains]
    entries = [
        writer.append(Kind.CHUNK, IDS.of(Kind.CHUNK, plain), memoryview(stored))
        for plain, stored in zip(plains, frames, strict=True)
    ]
    body = bytes(writer.seal())
    assert pack.read_footer(b"p" * 16, len(body), memoryview(body)) == entries
    assert [body[e.offset : e.offset + e.length] for e in entries] == frames
    damaged = bytearray(body)
    start = sum(len(stored) for stored in frames)
    bit = data.draw(st.integers(start * 8, len(body) * 8 - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises((CorruptPack, UnknownFormat)):
        pack.read_footer(b"p" * 16, len(damaged), memoryview(damaged))


@given(st.integers(1, 500), st.integers(0, 499), st.integers(0, 255))
def test_zero_is_what_has_only_zero_bytes(size: int, position: int, value: int) -> None:
    plain = bytearray(size)
    plain[position % size] = value
    assert is_zero(memoryview(plain)) == (value == 0)
