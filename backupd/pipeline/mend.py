"""A damaged pack made whole: its frames from whoever has them, under the same name and at the same places. Blocks.

Trees point to frames by pack, offset and length, so a frame that is made anew must be as long as the old one was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from backupd.pipeline.inspection import check_frame
from backupd.repository.repository import Repository
from chunker.digest import Ids, Kind
from chunker.errors import ChunkerError
from chunker.frame import OVERHEAD_BYTES_MAX, PLAIN_SIZE_BYTES_MAX, FrameReader, FrameWriter
from chunker.pack import ENTRY_SIZE_BYTES, PACK_SIZE_BYTES_MAX, TRAILER_SIZE_BYTES, PackEntry, PackWriter
from chunker.xaes import TAG_SIZE_BYTES

_LEVELS = (3, 0, 1, 2, *range(4, 20))


class Mended(NamedTuple):
    """A pack, and those of its frames that nobody has: they stay damaged, and are seen to be."""

    body: memoryview
    missing: list[PackEntry]


class Mender:
    """Puts packs of one repository together. Belongs to one thread at a time."""

    def __init__(self, repository: Repository) -> None:
        self._keys = repository.keys
        self._is_encrypted = repository.is_encrypted
        self._reader = FrameReader(repository.keys)
        self._ids = Ids(repository.keys.id_key)

    def id_of(self, plain: memoryview) -> bytes:
        """Return the id of a chunk."""
        return self._ids.of(Kind.CHUNK, plain)

    def is_right(self, entry: PackEntry, stored: memoryview) -> bool:
        """Tell whether these are the bytes of a frame."""
        try:
            check_frame(entry.kind, entry.id, stored, self._reader)
        except ChunkerError:
            return False
        return len(stored) == entry.length

    def frame_of(self, entry: PackEntry, plain: memoryview, *, levels: Iterable[int]) -> bytes | None:
        """Return a frame of a chunk that is as long as the one it replaces; None when no way to compress gives that."""
        if self.id_of(plain) != entry.id:
            return None
        out = memoryview(bytearray(len(plain) + OVERHEAD_BYTES_MAX))
        for level in dict.fromkeys([*levels, *_LEVELS]):
            writer = FrameWriter(self._keys, compression_level=level, is_encrypted=self._is_encrypted)
            length = writer.encode(entry.kind, entry.id, plain, out)
            if length == entry.length:
                return bytes(out[:length])
        return None

    def put_together(
        self, pack_id: bytes, entries: Sequence[PackEntry], frames: Mapping[int, bytes | memoryview]
    ) -> Mended:
        """Return the pack with these frames, by offset; what nobody needs between ``entries`` is filled up."""
        size = max((one.offset + one.length for one in entries), default=0) + TRAILER_SIZE_BYTES
        fillers = size // (OVERHEAD_BYTES_MAX + 1)
        room = min(size + (len(entries) + fillers) * ENTRY_SIZE_BYTES, PACK_SIZE_BYTES_MAX)
        writer = PackWriter(pack_id, memoryview(bytearray(room)))
        missing: list[PackEntry] = []
        end = 0
        for entry in sorted(entries, key=lambda one: one.offset):
            self._fill(writer, entry.offset - end)
            stored = frames.get(entry.offset)
            if stored is None:
                missing.append(entry)
                stored = bytes(entry.length)  # Its checksum does not hold, so everybody sees that it is not there.
            writer.append(entry.kind, entry.id, memoryview(stored))
            end = entry.offset + entry.length
        return Mended(writer.seal(), missing)

    def _fill(self, writer: PackWriter, gap_bytes: int) -> None:
        """Fill a gap with frames of zeros, which nobody points to. ValueError when it is too small for one."""
        raw = FrameWriter(self._keys, compression_level=0, is_encrypted=self._is_encrypted)
        while gap_bytes:
            overhead = OVERHEAD_BYTES_MAX if self._is_encrypted else OVERHEAD_BYTES_MAX - TAG_SIZE_BYTES
            plain_bytes = min(gap_bytes - overhead, PLAIN_SIZE_BYTES_MAX)
            if 0 < gap_bytes - overhead - plain_bytes <= overhead:
                plain_bytes -= overhead + 1  # Leave enough for one frame more.
            if plain_bytes < 1:
                raise ValueError(f"a gap of {gap_bytes} bytes is too small for a frame")
            plain = memoryview(bytes(plain_bytes))
            out = memoryview(bytearray(plain_bytes + OVERHEAD_BYTES_MAX))
            length = raw.encode(Kind.CHUNK, self.id_of(plain), plain, out)
            writer.append(Kind.CHUNK, self.id_of(plain), out[:length])
            gap_bytes -= length
