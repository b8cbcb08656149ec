"""From volume bytes to frames: what one worker thread does with one span."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

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
    """One chunk of a span. ``pointer`` is set when it was reused; start and end frame it when it is new."""

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
    """Reads, hashes, compares, compresses and encrypts spans; one call per span, in any thread."""

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
        self._kits = Kits(lambda: _Kit(memoryview(mmap.mmap(-1, span_size)), make_writer()), kit_count)

    def encode(self, span: Span, parents: Mapping[int, Pointer], out: memoryview) -> list[Encoded]:
        """Read ``span`` and write the frames of its new chunks to ``out``, which has ``frames_size_max`` bytes.

        ``parents`` are the parent backup's pointers in the span, by chunk index. Blocks.
        """
        with self._kits.lend() as kit:
            plain = self._read(span, kit.buffer)
            chunks = self._hashed(span, plain, parents)
            known = self._find([c.id for c in chunks if c.outcome is Outcome.NEW])
            return self._framed(chunks, span, plain, known, kit.writer, out)

    def _read(self, span: Span, buffer: memoryview) -> memoryview:
        offset = span.first * self._chunk_size_bytes
        plain = buffer[: min(span.end * self._chunk_size_bytes, self._source.size_bytes) - offset]
        self._source.read_into(offset, plain)
        return plain

    def _hashed(self, span: Span, plain: memoryview, parents: Mapping[int, Pointer]) -> list[Encoded]:
        chunks = []
        for index in range(span.first, span.end):
            chunk = self._chunk(span, plain, index)
            if is_zero(chunk):
                chunks.append(Encoded(index, Outcome.ZERO, b"", len(chunk)))
                continue
            chunk_id = self._ids.of(Kind.CHUNK, chunk)
            parent = parents.get(index)
            is_unchanged = parent is not None and parent.id == chunk_id
            outcome = Outcome.UNCHANGED if is_unchanged else Outcome.NEW
            chunks.append(Encoded(index, outcome, chunk_id, len(chunk), parent))
        return chunks

    def _framed(
        self,
        chunks: list[Encoded],
        span: Span,
        plain: memoryview,
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
                content = self._chunk(span, plain, chunk.number)
                end = position + writer.encode(Kind.CHUNK, chunk.id, content, out[position:])
                framed.append(chunk._replace(pointer=None, start=position, end=end))
                position = end
        return framed

    def _chunk(self, span: Span, plain: memoryview, index: int) -> memoryview:
        start = (index - span.first) * self._chunk_size_bytes
        return plain[start : start + self._chunk_size_bytes]
