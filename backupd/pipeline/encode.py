"""From volume bytes to frames: what one worker thread does with some spans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from backupd.pipeline.memory import pages
from backupd.pipeline.plan import Span
from backupd.pipeline.workers import Kits
from chunker.digest import Ids, Kind, is_zero
from chunker.frame import OVERHEAD_BYTES_MAX, FrameWriter
from chunker.node import Pointer
from chunker.sources.base import PointInTime

FindChunks = Callable[[Sequence[bytes]], Mapping[bytes, Pointer]]
"""Return where the repository has those of these chunks that it has; called from worker threads."""


class Outcome(Enum):
    """What became of a chunk."""

    ZERO = auto()
    UNCHANGED = auto()
    REUSED = auto()
    NEW = auto()


class Encoded(NamedTuple):
    """One chunk. ``pointer`` is set when it was reused; start and end frame it when it is new."""

    number: int
    outcome: Outcome
    id: bytes
    plain_size: int
    pointer: Pointer | None = None
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class _Kit:
    buffer: memoryview
    writer: FrameWriter


class SpanEncoder:
    """Reads, hashes, compares, compresses and encrypts spans; one call for some of them, in any thread."""

    def __init__(
        self,
        source: PointInTime,
        *,
        ids: Ids,
        make_writer: Callable[[], FrameWriter],
        find: FindChunks,
        chunk_size_bytes: int,
        span_chunks: int,
        kit_count: int,
    ) -> None:
        self._source = source
        self._ids = ids
        self._find = find
        self._chunk_size_bytes = chunk_size_bytes
        span_size = span_chunks * chunk_size_bytes
        self.frames_size_max = span_chunks * (chunk_size_bytes + OVERHEAD_BYTES_MAX)
        self._kits = Kits(lambda: _Kit(pages(span_size), make_writer()), kit_count)

    def encode(self, spans: Sequence[Span], parents: Mapping[int, Pointer], out: memoryview) -> list[Encoded]:
        """Read ``spans``, ``span_chunks`` at most, and write the frames of their new chunks to ``out``.

        That has ``frames_size_max`` bytes. ``parents`` are the parent backup's pointers in the spans, by chunk index.
        Blocks.
        """
        with self._kits.lend() as kit:
            plains = self._read(spans, kit.buffer)
            chunks = [self._hashed(index, plain, parents.get(index)) for index, plain in plains.items()]
            known = self._find([c.id for c in chunks if c.outcome is Outcome.NEW])
            return self._framed(chunks, plains, known, kit.writer, out)

    def _read(self, spans: Sequence[Span], buffer: memoryview) -> dict[int, memoryview]:
        """Return the plain bytes of each chunk, by its index."""
        chunk_size = self._chunk_size_bytes
        plains: dict[int, memoryview] = {}
        for span in spans:
            offset = span.first * chunk_size
            start = len(plains) * chunk_size
            plain = buffer[start : start + min(span.end * chunk_size, self._source.size_bytes) - offset]
            self._source.read_into(offset, plain)
            for place, index in enumerate(range(span.first, span.end)):
                plains[index] = plain[place * chunk_size : (place + 1) * chunk_size]
        return plains

    def _hashed(self, index: int, plain: memoryview, parent: Pointer | None) -> Encoded:
        if is_zero(plain):
            return Encoded(index, Outcome.ZERO, b"", len(plain))
        chunk_id = self._ids.of(Kind.CHUNK, plain)
        is_unchanged = parent is not None and parent.id == chunk_id
        outcome = Outcome.UNCHANGED if is_unchanged else Outcome.NEW
        return Encoded(index, outcome, chunk_id, len(plain), parent)

    def _framed(
        self,
        chunks: list[Encoded],
        plains: Mapping[int, memoryview],
        known: Mapping[bytes, Pointer],
        writer: FrameWriter,
        out: memoryview,
    ) -> list[Encoded]:
        position = 0
        framed = []
        for chunk in chunks:
            if chunk.outcome is not Outcome.NEW:
                framed.append(chunk)
            elif chunk.id in known:
                framed.append(chunk._replace(outcome=Outcome.REUSED, pointer=known[chunk.id]))
            else:
                end = position + writer.encode(Kind.CHUNK, chunk.id, plains[chunk.number], out[position:])
                framed.append(chunk._replace(pointer=None, start=position, end=end))
                position = end
        return framed
