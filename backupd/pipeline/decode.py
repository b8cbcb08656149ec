"""From frames on the target to verified plain chunks: what is done with one span of a stored backup."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.fetch import Frames, fetch_frames, named, read_again_if_corrupt
from backupd.pipeline.walk import SpanPointers
from backupd.pipeline.workers import Workers
from backupd.repository.ranges import coalesce
from backupd.repository.repository import Repository
from chunker.digest import Kind
from chunker.frame import OVERHEAD_BYTES_MAX, FrameReader

_SPANS_AHEAD = 2
WriteRun = Callable[[int, memoryview], None]
"""Take verified plain bytes at an offset of the volume; called from worker threads."""


class _Kit(NamedTuple):
    """What one thread decodes with."""

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
        kits: asyncio.Queue[_Kit],
        stored_size_max: int,
        chunk_size_bytes: int,
        size_bytes: int,
    ) -> None:
        self._repository = repository
        self._workers = workers
        self._budget = budget
        self._kits = kits
        self._stored_size_max = stored_size_max
        self._chunk_size_bytes = chunk_size_bytes
        self._size_bytes = size_bytes
        self.spans_max = kits.maxsize + _SPANS_AHEAD

    async def decode(self, span: SpanPointers, write: WriteRun) -> int:
        """Fetch ``span`` and hand its plain bytes to ``write``; return how many they were.

        Nothing is handed on unless every chunk of the span was verified. CorruptObject names what is wrong.
        """
        ranges = coalesce(span.values(), gap_bytes_max=0)
        async with self._budget.lend(self._buffer_size(sum(wanted.length for wanted in ranges))) as stored:

            async def attempt() -> int:
                frames = await fetch_frames(self._repository, ranges, stored)
                kit = await self._kits.get()
                try:
                    return await self._workers.run(self._decode, span, frames, kit, write)
                finally:
                    self._kits.put_nowait(kit)

            return await read_again_if_corrupt(attempt)

    def _buffer_size(self, stored_size: int) -> int:
        """Return one of two sizes, so that the next span can most likely use the buffer again."""
        half = self._stored_size_max // 2
        return half if stored_size <= half else self._stored_size_max

    def _decode(self, span: SpanPointers, frames: Frames, kit: _Kit, write: WriteRun) -> int:
        base = min(span) * self._chunk_size_bytes
        runs: list[tuple[int, int]] = []
        for index in sorted(span):
            pointer = span[index]
            offset = index * self._chunk_size_bytes
            end = min(offset + self._chunk_size_bytes, self._size_bytes)
            with named(pointer):
                kit.reader.decode(Kind.CHUNK, pointer.id, frames[pointer], kit.plain[offset - base : end - base])
            if runs and runs[-1][1] == offset:
                runs[-1] = runs[-1][0], end
            else:
                runs.append((offset, end))
        for offset, end in runs:
            write(offset, kit.plain[offset - base : end - base])
        return sum(end - offset for offset, end in runs)


@asynccontextmanager
async def decoding(
    repository: Repository,
    workers: Workers,
    budget: ByteBudget,
    *,
    chunk_size_bytes: int,
    span_chunks: int,
    size_bytes: int,
) -> AsyncIterator[SpanDecoder]:
    """Lend a decoder whose memory, plain bytes for each thread and frames in flight, is all from ``budget``."""
    plain_size = span_chunks * chunk_size_bytes
    stored_size_max = span_chunks * (chunk_size_bytes + OVERHEAD_BYTES_MAX)
    kit_count = max(1, min(workers.thread_count, (budget.limit_bytes - stored_size_max) // plain_size))
    kits: asyncio.Queue[_Kit] = asyncio.Queue(maxsize=kit_count)
    plains = []
    try:
        for _ in range(kit_count):
            plains.append(await budget.acquire(plain_size))
            kits.put_nowait(_Kit(FrameReader(repository.keys), plains[-1]))
        yield SpanDecoder(
            repository,
            workers,
            budget,
            kits=kits,
            stored_size_max=stored_size_max,
            chunk_size_bytes=chunk_size_bytes,
            size_bytes=size_bytes,
        )
    finally:
        for plain in plains:
            budget.release(plain)
