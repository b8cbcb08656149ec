"""From frames on the target to verified plain chunks: what is done with one span of a stored backup."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass

from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.fetch import Frames, fetch_frames, named, read_again_if_corrupt
from backupd.pipeline.walk import SpanPointers
from backupd.pipeline.workers import Kits, Workers
from backupd.repository.ranges import coalesce
from backupd.repository.repository import Repository
from chunker.digest import Kind
from chunker.frame import OVERHEAD_BYTES_MAX, FrameReader

_SPANS_AHEAD = 2
WriteRun = Callable[[int, memoryview], None]
"""Take verified plain bytes at an offset of the volume; called from worker threads."""


@dataclass(frozen=True, slots=True)
class _Kit:
    reader: FrameReader
    plain: memoryview


class SpanDecoder:
    """Fetches, verifies and hands on spans of one volume."""

    def __init__(
        self,
        repository: Repository,
        workers: Workers,
        budget: ByteBudget,
        *,
        chunk_size_bytes: int,
        span_chunks: int,
        size_bytes: int,
    ) -> None:
        self._repository = repository
        self._workers = workers
        self._budget = budget
        self._chunk_size_bytes = chunk_size_bytes
        self._size_bytes = size_bytes
        self._stored_size_max = span_chunks * (chunk_size_bytes + OVERHEAD_BYTES_MAX)
        # Each span in flight takes its frames, and while a thread has it, its plain bytes.
        in_flight_max = budget.limit_bytes // (self._stored_size_max + span_chunks * chunk_size_bytes)
        self.spans_max = max(1, min(workers.thread_count + _SPANS_AHEAD, in_flight_max))
        self._kits = Kits(
            lambda: _Kit(FrameReader(repository.keys), memoryview(mmap.mmap(-1, span_chunks * chunk_size_bytes))),
            min(workers.thread_count, self.spans_max),
        )

    async def decode(self, span: SpanPointers, write: WriteRun) -> int:
        """Fetch ``span`` and hand its plain bytes to ``write``; return how many they were.

        Nothing is handed on unless every chunk of the span was verified. CorruptObject names what is wrong.
        """
        async with self._budget.lend(self._stored_size_max) as stored:

            async def attempt() -> int:
                ranges = coalesce(span.values(), gap_bytes_max=0)
                frames = await fetch_frames(self._repository, ranges, stored)
                return await self._workers.run(self._decode, span, frames, write)

            return await read_again_if_corrupt(attempt)

    def _decode(self, span: SpanPointers, frames: Frames, write: WriteRun) -> int:
        base = min(span) * self._chunk_size_bytes
        runs: list[tuple[int, int]] = []
        with self._kits.lend() as kit:
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
