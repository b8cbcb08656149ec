"""From frames on the target to verified plain chunks: what is done with one span of a stored backup."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from backupd.pipeline import walk
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.fetch import Frames, decode_named, fetch_ranges, frames_in, read_again_if_corrupt, verify_named
from backupd.pipeline.walk import SpanPointers
from backupd.pipeline.workers import Kits, Workers
from backupd.repository.manifest import Manifest
from backupd.repository.ranges import Range, coalesce
from backupd.repository.repository import Repository
from chunker.digest import Kind
from chunker.frame import FrameReader
from chunker.node import Pointer, Slots
from chunker.tree import LoadNodes, Tree

# Cut by what is fetched, so that there are few spans where much is compressed. Chunks of 8 MiB that are not still fit.
_SPAN_STORED_BYTES_MAX = 8 * 1024 * 1024 + 64 * 1024
_SPANS_AHEAD = 2
WriteRun = Callable[[int, memoryview], None]
"""Take verified plain bytes at an offset of the volume; called from worker threads."""


class Cut(NamedTuple):
    """How a volume is cut: into chunks, runs of chunks that are handed on, and spans of runs that are fetched."""

    size_bytes: int
    chunk_size_bytes: int
    run_chunks: int

    @classmethod
    def of(cls, manifest: Manifest, *, run_size_bytes: int) -> Cut:
        """Return the cut of a stored volume for runs of that size, or one chunk if that is larger."""
        chunk_size = manifest.chunk_size_bytes
        return cls(manifest.size_bytes, chunk_size, max(1, run_size_bytes // chunk_size))

    @property
    def run_size_bytes(self) -> int:
        return self.run_chunks * self.chunk_size_bytes

    def spans(self, tree: Tree, load: LoadNodes) -> AsyncIterator[SpanPointers]:
        """Yield the stored chunks of a volume, span by span, ascending."""
        return walk.spans(tree, load, run_chunks=self.run_chunks, stored_bytes_max=_SPAN_STORED_BYTES_MAX)

    def spans_of(self, leaf: Slots) -> Iterator[SpanPointers]:
        """Yield the stored chunks of one leaf, span by span, ascending."""
        return walk.cut(leaf, run_chunks=self.run_chunks, stored_bytes_max=_SPAN_STORED_BYTES_MAX)


class _Kit(NamedTuple):
    """What one thread decodes with; ``plain`` has room for one run, and is empty where runs are not handed on."""

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
        cut: Cut,
        kits: Sequence[_Kit],
        write: WriteRun | None,
    ) -> None:
        self._repository = repository
        self._workers = workers
        self._budget = budget
        self._cut = cut
        self._kits = Kits(iter(kits).__next__, len(kits))
        self._write = write
        self.spans_max = len(kits) + _SPANS_AHEAD

    async def decode(self, span: SpanPointers, repository: Repository | None = None) -> int:
        """Fetch ``span`` and hand its plain bytes on, run by run; return how many they were.

        It is fetched from another ``repository``, a copy of this one, if one is given. A run is handed on only when
        every chunk of it was verified. CorruptObject names what is wrong.
        """
        ranges = coalesce(span.values(), gap_bytes_max=0)
        async with self._budget.lend(self._buffer_size(sum(wanted.length for wanted in ranges))) as stored:

            async def attempt() -> int:
                await fetch_ranges(repository or self._repository, ranges, stored)
                # Queued for the threads at once: one that is done goes on without waiting for the loop.
                return await self._workers.run(self._decode, span, ranges, stored)

            return await read_again_if_corrupt(self._repository, attempt)

    @staticmethod
    def _buffer_size(stored_size: int) -> int:
        """Return one of two sizes, so that the next span can most likely use the buffer again."""
        half = _SPAN_STORED_BYTES_MAX // 2
        return half if stored_size <= half else _SPAN_STORED_BYTES_MAX

    def _decode(self, span: SpanPointers, ranges: Sequence[Range], stored: memoryview) -> int:
        frames = frames_in(ranges, stored)
        with self._kits.lend() as kit:
            if self._write is None:
                return sum(self._verify_chunk(index, pointer, frames, kit) for index, pointer in span.items())
            return sum(
                self._decode_run(span, run, frames, kit, self._write)
                for run in walk.runs(span, chunks_max=self._cut.run_chunks)
            )

    def _decode_run(self, span: SpanPointers, run: range, frames: Frames, kit: _Kit, write: WriteRun) -> int:
        chunk_size = self._cut.chunk_size_bytes
        start = run.start * chunk_size
        plain = kit.plain[: min(run.stop * chunk_size, self._cut.size_bytes) - start]
        for place, index in enumerate(run):
            pointer = span[index]
            room = plain[place * chunk_size : (place + 1) * chunk_size]
            decode_named(kit.reader, Kind.CHUNK, pointer, frames[pointer], room)
        write(start, plain)
        return len(plain)

    def _verify_chunk(self, index: int, pointer: Pointer, frames: Frames, kit: _Kit) -> int:
        chunk_size = self._cut.chunk_size_bytes
        size_bytes = min(chunk_size, self._cut.size_bytes - index * chunk_size)
        verify_named(kit.reader, Kind.CHUNK, pointer, frames[pointer], size_bytes)
        return size_bytes


@asynccontextmanager
async def decoding(
    repository: Repository, workers: Workers, budget: ByteBudget, *, cut: Cut, write: WriteRun | None
) -> AsyncIterator[SpanDecoder]:
    """Lend a decoder that hands runs to ``write``, or only verifies them where nobody wants them.

    Its memory, a run for each thread and frames, is from ``budget``.
    """
    threads = workers.thread_count + workers.spare_count  # Some wait: for the disk, or for the interpreter.
    kit_count = min(threads, (budget.limit_bytes - _SPAN_STORED_BYTES_MAX) // cut.run_size_bytes)
    async with AsyncExitStack() as lent:
        kits = []
        for _ in range(max(1, kit_count)):
            if write is None:
                await lent.enter_async_context(budget.hold(cut.run_size_bytes))
                plain = memoryview(b"")
            else:
                plain = await lent.enter_async_context(budget.lend(cut.run_size_bytes))
            kits.append(_Kit(FrameReader(repository.keys), plain))
        yield SpanDecoder(repository, workers, budget, cut=cut, kits=kits, write=write)
