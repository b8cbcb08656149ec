"""A frame: one chunk, node or manifest as it is stored (docs/formats/frame.md). Pure.

Both directions work in buffers that the caller owns and uses again: with fresh ones, page faults cost more
than the encryption itself (docs/design/003-buffers.md has the measurement).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from enum import IntEnum

import xxhash
import zstandard
from cryptography.exceptions import InvalidTag

from chunker.digest import Ids, Kind
from chunker.errors import CorruptFrame, UnknownFormat
from chunker.keys import RepositoryKeys
from chunker.xaes import NONCE_SIZE_BYTES, TAG_SIZE_BYTES, Xaes256Gcm

VERSION = 1
PLAIN_SIZE_BYTES_MAX = 4 * 1024 * 1024
_HEADER = struct.Struct("<BBBBII24s")
_CHECKSUM = struct.Struct("<Q")
HEADER_SIZE_BYTES = _HEADER.size
OVERHEAD_BYTES_MAX = HEADER_SIZE_BYTES + TAG_SIZE_BYTES + _CHECKSUM.size
_BOUND_BYTES = 12  # The header fields before the nonce are authenticated.
_AAD_PREFIX = b"backupd frame\0"
_ZSTD_BLOCK_SIZE_BYTES = 128 * 1024
_NO_NONCE = bytes(NONCE_SIZE_BYTES)
assert HEADER_SIZE_BYTES == 36


class Codec(IntEnum):
    """How the payload was made from the plain bytes."""

    RAW = 0
    ZSTD = 1


class CipherSuite(IntEnum):
    """How the payload is encrypted."""

    NONE = 0
    XAES_256_GCM = 1


_CODEC_MAX = max(map(int, Codec))
_CIPHER_SUITE_MAX = max(map(int, CipherSuite))
assert (Codec.RAW, CipherSuite.NONE) == (0, 0)


def compression_state_bytes(level: int, tuned_for_bytes: int) -> int:
    """Return how much memory a ``FrameWriter`` takes to compress content of that size, besides the content."""
    if not level:
        return 0
    parameters = zstandard.ZstdCompressionParameters.from_level(level, source_size=tuned_for_bytes)
    window = 1 << parameters.window_log
    # What is not in the estimate: it streams through a buffer of the window and a block, and one of a block.
    return parameters.estimated_compression_context_size() + window + 2 * min(window, _ZSTD_BLOCK_SIZE_BYTES)


class FrameWriter:
    """Encodes frames of one repository. Belongs to one thread at a time. ``compression_level`` 0 is none at all.

    Compression takes the more memory, the larger the content; when it is ``tuned_for_bytes``, never more than
    content of that size takes: larger content is compressed too, but not as hard.
    """

    def __init__(
        self,
        keys: RepositoryKeys,
        *,
        compression_level: int,
        is_encrypted: bool,
        tuned_for_bytes: int | None = None,
        draw_nonce: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._aad_prefix = _AAD_PREFIX + keys.repository_id
        self._compressor = _compressor(compression_level, tuned_for_bytes)
        self._cipher = Xaes256Gcm(keys.data_key) if is_encrypted else None
        self._draw_nonce = draw_nonce
        self._scratch = memoryview(bytearray())

    def encode(self, kind: Kind, frame_id: bytes, plain: memoryview, out: memoryview) -> int:
        """Write the frame of ``plain`` to the start of ``out`` and return its length.

        ``out`` must be ``OVERHEAD_BYTES_MAX`` longer than ``plain``, which is at most 4 MiB.
        """
        if self._cipher is None:
            codec, payload_size = self._compress(plain, out[HEADER_SIZE_BYTES:])
            if codec is Codec.RAW:
                out[HEADER_SIZE_BYTES : HEADER_SIZE_BYTES + payload_size] = plain
            end = HEADER_SIZE_BYTES + payload_size
            _HEADER.pack_into(out, 0, VERSION, kind, codec, CipherSuite.NONE, len(plain), payload_size, _NO_NONCE)
        else:
            scratch = self._scratch_of(len(plain))
            codec, payload_size = self._compress(plain, scratch)
            payload = plain if codec is Codec.RAW else scratch[:payload_size]
            nonce = self._draw_nonce(NONCE_SIZE_BYTES)
            suite = CipherSuite.XAES_256_GCM
            _HEADER.pack_into(out, 0, VERSION, kind, codec, suite, len(plain), payload_size, nonce)
            end = HEADER_SIZE_BYTES + payload_size + TAG_SIZE_BYTES
            aad = self._aad_prefix + frame_id + bytes(out[:_BOUND_BYTES])
            self._cipher.encrypt_into(nonce, payload, aad, out[HEADER_SIZE_BYTES:end])
        _CHECKSUM.pack_into(out, end, xxhash.xxh3_64_intdigest(out[:end]))
        return end + _CHECKSUM.size

    def _compress(self, plain: memoryview, out: memoryview) -> tuple[Codec, int]:
        """Compress to ``out`` when that is shorter; else leave it to the caller to store ``plain`` as it is."""
        if self._compressor is None:
            return Codec.RAW, len(plain)
        room = out[: max(len(plain) - 1, 0)]
        filled = _fill(self._compressor.stream_reader(plain, size=len(plain)), room)
        return (Codec.ZSTD, filled) if filled < len(room) else (Codec.RAW, len(plain))

    def _scratch_of(self, size_bytes: int) -> memoryview:
        if len(self._scratch) < size_bytes:
            self._scratch = memoryview(bytearray(size_bytes))
        return self._scratch


def _compressor(level: int, tuned_for_bytes: int | None) -> zstandard.ZstdCompressor | None:
    if not level:  # To zstd it would be its default.
        return None
    if tuned_for_bytes is None:
        return zstandard.ZstdCompressor(level=level)
    parameters = zstandard.ZstdCompressionParameters.from_level(level, source_size=tuned_for_bytes)
    return zstandard.ZstdCompressor(compression_params=parameters)


class FrameReader:
    """Decodes and verifies frames of one repository. Belongs to one thread at a time."""

    def __init__(self, keys: RepositoryKeys) -> None:
        self._aad_prefix = _AAD_PREFIX + keys.repository_id
        self._ids = Ids(keys.id_key)
        self._cipher = Xaes256Gcm(keys.data_key)
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=PLAIN_SIZE_BYTES_MAX)
        self._scratch = memoryview(bytearray())

    def decode(self, kind: Kind, frame_id: bytes, frame: memoryview, out: memoryview) -> None:
        """Fill ``out``, whose length is the plain size that is expected, from ``frame``.

        Returns only when checksum, tag and id all hold. CorruptFrame otherwise; UnknownFormat when a newer
        version wrote it. ``out`` may then hold anything.
        """
        is_compressed, payload = self._payload(kind, frame_id, frame, len(out), out)
        if is_compressed:
            self._decompress(payload, out)
        elif payload is not out:
            out[:] = payload
        self._check_id(kind, frame_id, out)

    def verify(self, kind: Kind, frame_id: bytes, frame: memoryview, plain_size_bytes: int) -> None:
        """As ``decode``, and faster, for whom it is enough that all holds."""
        is_compressed, payload = self._payload(kind, frame_id, frame, plain_size_bytes, None)
        plain = self._decompressed(payload, plain_size_bytes) if is_compressed else payload
        self._check_id(kind, frame_id, plain)

    def _payload(
        self, kind: Kind, frame_id: bytes, frame: memoryview, plain_size_bytes: int, out: memoryview | None
    ) -> tuple[bool, memoryview]:
        """Return whether the payload is compressed, and the payload: decrypted, to ``out`` if it is the plain bytes."""
        is_compressed, is_encrypted, payload_size, nonce = _checked_header(kind, frame, plain_size_bytes)
        sealed = frame[HEADER_SIZE_BYTES : -_CHECKSUM.size]
        if not is_encrypted:
            return is_compressed, sealed
        payload = self._scratch_of(payload_size)[:payload_size] if is_compressed or out is None else out
        aad = self._aad_prefix + frame_id + bytes(frame[:_BOUND_BYTES])
        try:
            self._cipher.decrypt_into(nonce, sealed, aad, payload)
        except InvalidTag:
            raise CorruptFrame("authentication failed: the frame belongs to another id, repository or key") from None
        return is_compressed, payload

    def _check_id(self, kind: Kind, frame_id: bytes, plain: bytes | memoryview) -> None:
        if self._ids.of(kind, plain) != frame_id:
            raise CorruptFrame("the content does not have the id that was asked for")

    def _decompress(self, payload: memoryview, out: memoryview) -> None:
        # Whether more would follow need not be asked: the id, which is checked next, is that of all the content.
        try:
            filled = _fill(self._decompressor.stream_reader(payload), out)
        except zstandard.ZstdError as error:
            raise CorruptFrame(f"zstd: {error}") from error
        _check_size(filled, len(out))

    def _decompressed(self, payload: memoryview, size_bytes: int) -> bytes:
        """Decompress in one go, which saves a copy but takes memory of its own: as much as the payload claims."""
        try:
            claimed = zstandard.frame_content_size(payload)
            if claimed >= 0:  # Else it does not say, and takes no more than it is allowed.
                _check_size(claimed, size_bytes)
            plain = self._decompressor.decompress(payload, max_output_size=size_bytes)
        except zstandard.ZstdError as error:
            raise CorruptFrame(f"zstd: {error}") from error
        _check_size(len(plain), size_bytes)
        return plain

    def _scratch_of(self, size_bytes: int) -> memoryview:
        if len(self._scratch) < size_bytes:
            self._scratch = memoryview(bytearray(size_bytes))
        return self._scratch


def _check_size(found_bytes: int, expected_bytes: int) -> None:
    if found_bytes != expected_bytes:
        raise CorruptFrame(f"decompresses to {found_bytes} bytes, expected {expected_bytes}")


def check(frame: memoryview) -> None:
    """Raise CorruptFrame unless the checksum over the stored bytes holds. Needs no key."""
    body_size = len(frame) - _CHECKSUM.size
    if body_size < HEADER_SIZE_BYTES:
        raise CorruptFrame(f"a frame of {len(frame)} bytes is shorter than its header")
    if xxhash.xxh3_64_intdigest(frame[:body_size]) != _CHECKSUM.unpack_from(frame, body_size)[0]:
        raise CorruptFrame("checksum mismatch")


def plain_size(frame: memoryview) -> int:
    """Return the plain size that the header claims; ``decode`` is what verifies it."""
    check(frame)
    size: int = _HEADER.unpack_from(frame)[4]
    return size


def _checked_header(kind: Kind, frame: memoryview, expected_size: int) -> tuple[bool, bool, int, bytes]:
    """Return whether the payload is compressed, whether it is encrypted, its size and the nonce."""
    check(frame)
    # Compared as numbers: making enumeration members of them takes longer than all these checks.
    version, found_kind, codec, suite, size, payload_size, nonce = _HEADER.unpack_from(frame)
    if version != VERSION:
        raise UnknownFormat(f"frame version {version}; this reader knows {VERSION}")
    if codec > _CODEC_MAX:
        raise UnknownFormat(f"frame codec {codec}; this reader knows 0 to {_CODEC_MAX}")
    if suite > _CIPHER_SUITE_MAX:
        raise UnknownFormat(f"frame cipher {suite}; this reader knows 0 to {_CIPHER_SUITE_MAX}")
    if found_kind != kind:
        raise CorruptFrame(f"frame of kind {found_kind}, expected {int(kind)}")
    if size != expected_size:
        raise CorruptFrame(f"frame of {size} plain bytes, expected {expected_size}")
    overhead = OVERHEAD_BYTES_MAX if suite else OVERHEAD_BYTES_MAX - TAG_SIZE_BYTES
    if overhead + payload_size != len(frame):
        raise CorruptFrame(f"payload of {payload_size} bytes does not fit a frame of {len(frame)} bytes")
    if not codec and payload_size != size:
        raise CorruptFrame(f"raw payload of {payload_size} bytes for {size} plain bytes")
    if payload_size > size:
        raise CorruptFrame(f"payload of {payload_size} bytes is longer than the {size} plain bytes")
    return bool(codec), bool(suite), payload_size, nonce


def _fill(reader: zstandard.ZstdCompressionReader | zstandard.ZstdDecompressionReader, out: memoryview) -> int:
    """Read until ``out`` is full or the reader is at its end; return the bytes read."""
    filled = 0
    while filled < len(out) and (count := reader.readinto(out[filled:])):
        filled += count
    return filled
