"""From frames on the target to verified plain chunks: what is done with one span of a stored backup."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.fetch import decode_named, fetch_ranges, frames_in, read_again_if_corrupt
from backupd.pipeline.walk import SpanPointers
from backupd.pipeline.workers import Kits, Workers
from backupd.repository.ranges import Range, coalesce
from backupd.repository.repository import Repository
from chunker.digest import Kind
from chunker.frame import OVERHEAD_BYTES_MAX, FrameReader

_SPANS_AHEAD = 2
WriteRun = Callable[[int, memoryview], None]
"""Take verified plain bytes at an offset of the volume; called from worker threads."""


class _Kit(NamedTuple):
    """What one thread decodes with. ``plain`` has room for a span, or for one chunk if none is kept."""

    reader: FrameReader
    plain: memoryview


class SpanDecoder:
    """Fetches, verifies and hands on spans of one volume. Made by ``decoding``."""

    def __init__(
        self,
        repository: Repository,
        workers: Workers,
        budget: ByteBudget,
        *,
        kits: Kits[_Kit],
        spans_max: int,
        stored_size_max: int,
        chunk_size_bytes: int,
        size_bytes: int,
        write: WriteRun | None,
    ) -> None:
        self._repository = repository
        self._workers = workers
        self._budget = budget
        self._kits = kits
        self._stored_size_max = stored_size_max
        self._chunk_size_bytes = chunk_size_bytes
        self._size_bytes = size_bytes
        self._write = write
        self.spans_max = spans_max

    async def decode(self, span: SpanPointers) -> int:
        """Fetch and verify ``span``, and hand its plain bytes on; return how many they were.

        Nothing is handed on unless every chunk of the span was verified. CorruptObject names what is wrong.
        """
        ranges = coalesce(span.values(), gap_bytes_max=0)
        async with self._budget.lend(self._buffer_size(sum(wanted.length for wanted in ranges))) as stored:

            async def attempt() -> int:
                await fetch_ranges(self._repository, ranges, stored)
                # Queued for the threads at once: one that is done goes on without waiting for the loop.
                return await self._workers.run(self._decode, span, ranges, stored)

            return await read_again_if_corrupt(attempt)

    def _buffer_size(self, stored_size: int) -> int:
        """Return one of two sizes, so that the next span can most likely use the buffer again."""
        half = self._stored_size_max // 2
        return half if stored_size <= half else self._stored_size_max

    def _decode(self, span: SpanPointers, ranges: list[Range], stored: memoryview) -> int:
        frames = frames_in(ranges, stored)
        base = min(span) * self._chunk_size_bytes
        with self._kits.lend() as kit:
            for index, pointer in span.items():
                start, end = self._extent(index)
                room = kit.plain[: end - start] if self._write is None else kit.plain[start - base : end - base]
                decode_named(kit.reader, Kind.CHUNK, pointer, frames[pointer], room)
            runs = self._runs(span)
            if self._write is not None:
                for start, end in runs:
                    self._write(start, kit.plain[start - base : end - base])
        return sum(end - start for start, end in runs)

    def _runs(self, span: SpanPointers) -> list[tuple[int, int]]:
        """Return start and end of each stretch of the volume that the chunks of ``span`` cover without a gap."""
        runs: list[tuple[int, int]] = []
        for index in sorted(span):
            start, end = self._extent(index)
            if runs and runs[-1][1] == start:
                runs[-1] = runs[-1][0], end
            else:
                runs.append((start, end))
        return runs

    def _extent(self, index: int) -> tuple[int, int]:
        start = index * self._chunk_size_bytes
        return start, min(start + self._chunk_size_bytes, self._size_bytes)


@asynccontextmanager
async def decoding(
    repository: Repository,
    workers: Workers,
    budget: ByteBudget,
    *,
    chunk_size_bytes: int,
    span_chunks: int,
    size_bytes: int,
    write: WriteRun | None,
) -> AsyncIterator[SpanDecoder]:
    """Lend a decoder whose memory, plain bytes for each thread and frames in flight, is all from ``budget``.

    ``write`` gets what was decoded; without it nothing is kept, and a chunk's plain bytes stay in the
    processor's cache from decompression to hashing.
    """
    plain_size = chunk_size_bytes if write is None else span_chunks * chunk_size_bytes
    stored_size_max = span_chunks * (chunk_size_bytes + OVERHEAD_BYTES_MAX)
    kit_count = max(1, min(workers.thread_count, (budget.limit_bytes - stored_size_max) // plain_size))
    plains: list[memoryview] = []
    try:
        for _ in range(kit_count):
            plains.append(await budget.acquire(plain_size))
        unused = iter(plains)
        yield SpanDecoder(
            repository,
            workers,
            budget,
            kits=Kits(lambda: _Kit(FrameReader(repository.keys), next(unused)), kit_count),
            spans_max=kit_count + _SPANS_AHEAD,
            stored_size_max=stored_size_max,
            chunk_size_bytes=chunk_size_bytes,
            size_bytes=size_bytes,
            write=write,
        )
    finally:
        for plain in plains:
            budget.release(plain)
