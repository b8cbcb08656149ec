"""Chunks that are claimed to be unchanged, read and compared with what the parent has of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice

from backupd.pipeline import plan
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.fetch import NodeFetcher
from backupd.pipeline.nodes import NodeCache
from backupd.pipeline.plan import Span
from backupd.pipeline.workers import Workers, settle
from backupd.repository.repository import Repository
from chunker.digest import Ids, Kind, is_zero
from chunker.errors import SourceUnreadable
from chunker.extents import Extent, between
from chunker.node import Pointer
from chunker.sources.base import PointInTime
from chunker.tree import Tree, TreeReader

_SPAN_SIZE_BYTES = 2 * 1024 * 1024
_READ_TIMEOUT_S = 300.0
_WRONG_MAX = 1000
_PLAN_BATCH = 64


@dataclass(slots=True)
class Found:
    """What was read, and which of it is not as the parent has it; at most so many extents are remembered."""

    chunks: int = 0
    read_bytes: int = 0
    wrong_chunks: int = 0
    wrong: tuple[Extent, ...] = ()


@dataclass(slots=True)
class _Flight:
    span: Span
    parents: dict[int, Pointer]
    comparing: asyncio.Future[list[int]] | None
    buffer: memoryview | None


class ChunkAudit:
    """Compares a source with a parent's tree. One object, one audit."""

    def __init__(
        self,
        source: PointInTime,
        parent: Tree,
        repository: Repository,
        *,
        workers: Workers,
        budget: ByteBudget,
        chunk_size_bytes: int,
    ) -> None:
        self._source = source
        self._workers = workers
        self._budget = budget
        self._chunk_size_bytes = chunk_size_bytes
        self._span_chunks = max(1, _SPAN_SIZE_BYTES // chunk_size_bytes)
        self._ids = Ids(repository.keys.id_key)
        self._parent = TreeReader(parent, NodeCache(NodeFetcher(repository, workers)).load)
        self._found = Found()

    async def run(self, sample: Sequence[Extent]) -> Found:
        """Compare whole chunks; a few spans are read at a time. Raises what fails first, and no thread works on."""
        async with aclosing(self._flights(sample)) as flights:
            async for flight in flights:
                self._land(flight.span, await self._differing(flight))
        return self._found

    async def _differing(self, flight: _Flight) -> list[int]:
        if flight.comparing is None:
            return sorted(flight.parents)  # Zeros, where the parent has data.
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                return await asyncio.shield(flight.comparing)
        except TimeoutError:
            offset = flight.span.first * self._chunk_size_bytes
            raise SourceUnreadable(f"no answer to a read at offset {offset} within {_READ_TIMEOUT_S:g} s") from None

    def _land(self, span: Span, wrong: list[int]) -> None:
        found = self._found
        found.chunks += span.end - span.first
        found.read_bytes += self._extent(span.first, span.end).length_bytes if span.is_data else 0
        found.wrong_chunks += len(wrong)
        if len(found.wrong) < _WRONG_MAX:
            found.wrong += tuple(self._extent(number, number + 1) for number in wrong)

    async def _flights(self, sample: Sequence[Extent]) -> AsyncGenerator[_Flight, None]:
        """Yield spans in order, a bounded number of them being compared ahead."""
        window: deque[_Flight] = deque()
        spans = plan.spans(self._source, sample, chunk_size_bytes=self._chunk_size_bytes, span_chunks=self._span_chunks)
        try:
            while batch := await self._workers.run(lambda: list(islice(spans, _PLAN_BATCH))):
                for span in batch:
                    window.append(await self._launch(span))
                    if len(window) > self._workers.thread_count:
                        yield window[0]
                        self._recover(window.popleft())
            while window:
                yield window[0]
                self._recover(window.popleft())
        finally:
            await settle(flight.comparing for flight in window if flight.comparing is not None)
            for flight in window:
                self._recover(flight)

    async def _launch(self, span: Span) -> _Flight:
        parents: dict[int, Pointer] = {}
        async for leaf in self._parent.leaves(span.first, span.end):
            parents.update(leaf)
        if not span.is_data:
            return _Flight(span, parents, None, None)
        buffer = await self._budget.acquire(self._span_chunks * self._chunk_size_bytes)
        return _Flight(span, parents, self._workers.submit(self._compare, span, parents, buffer), buffer)

    def _recover(self, flight: _Flight) -> None:
        if flight.buffer is not None:
            self._budget.release(flight.buffer)

    def _compare(self, span: Span, parents: Mapping[int, Pointer], buffer: memoryview) -> list[int]:
        """Return the chunks that are not as the parent has them. Blocks."""
        extent, size = self._extent(span.first, span.end), self._chunk_size_bytes
        plain = buffer[: extent.length_bytes]
        self._source.read_into(extent.offset_bytes, plain)
        wrong = []
        for position, number in enumerate(range(span.first, span.end)):
            chunk = plain[position * size : (position + 1) * size]
            parent = parents.get(number)
            found = None if is_zero(chunk) else self._ids.of(Kind.CHUNK, chunk)
            if found != (parent.id if parent else None):
                wrong.append(number)
        return wrong

    def _extent(self, first: int, end: int) -> Extent:
        size = self._chunk_size_bytes
        return between(first * size, min(end * size, self._source.size_bytes))
