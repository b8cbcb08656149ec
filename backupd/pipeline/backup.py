"""One backup: plan -> read, hash, compress, encrypt -> pack -> upload, and a tree over it all.

The worker threads run ahead of the packer by a bounded window, and their results are taken in order, so that
packs hold neighbours and the tree writer needs one path only. The first failure ends everything.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice

from backupd.model import Statistics
from backupd.pipeline import plan
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.encode import Encoded, Outcome, SpanEncoder
from backupd.pipeline.fetch import NodeFetcher
from backupd.pipeline.nodes import NodeCache, NodeSaver
from backupd.pipeline.packer import Packer
from backupd.pipeline.plan import Span
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.room import CHUNK_PACK_SIZE_BYTES, NODE_PACK_SIZE_BYTES, room_for
from backupd.pipeline.stored import StoredChunks
from backupd.pipeline.workers import Workers, settle
from backupd.repository.manifest import chunk_count
from backupd.repository.repository import Repository
from chunker.digest import Ids, Kind
from chunker.errors import SourceUnreadable
from chunker.extents import Extent
from chunker.frame import FrameWriter
from chunker.node import Pointer
from chunker.sources.base import PointInTime
from chunker.tree import Tree, TreeReader, TreeWriter

SPAN_SIZE_BYTES = 2 * 1024 * 1024
_UPLOADS_MAX = 2
_PLAN_BATCH = 16  # The nodes above so many spans fit the cache of nodes.


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """How a backup is stored."""

    chunk_size_bytes: int
    compression_level: int
    read_timeout_s: float = 300.0

    @property
    def span_chunks(self) -> int:
        return max(1, SPAN_SIZE_BYTES // self.chunk_size_bytes)


@dataclass(slots=True)
class _Flight:
    """Spans on their way through the worker threads together; zeros need none."""

    spans: Sequence[Span]
    parents: dict[int, Pointer]
    encoding: asyncio.Future[list[Encoded]] | None
    frames: memoryview | None


class BackupPipeline:
    """Writes what ``changed`` covers of a source on top of a parent's tree. One object, one backup."""

    def __init__(
        self,
        *,
        source: PointInTime,
        changed: Sequence[Extent],
        parent: Tree,
        repository: Repository,
        options: BackupOptions,
        workers: Workers,
        budget: ByteBudget,
        progress: ProgressMeter,
        stored: StoredChunks,
    ) -> None:
        self._source = source
        self._changed = changed
        self._options = options
        self._workers = workers
        self._budget = budget
        self._progress = progress
        self._stored = stored
        self._room = room_for(
            budget.limit_bytes,
            chunk_size_bytes=options.chunk_size_bytes,
            span_chunks=options.span_chunks,
            compression_level=options.compression_level,
            thread_count=workers.thread_count + workers.spare_count,  # One of them waits: to read, or to be let in.
        )
        self._outcomes: Counter[Outcome] = Counter()
        self._new_bytes = 0
        self._make_stages(parent, repository)

    def _make_stages(self, parent: Tree, repository: Repository) -> None:
        options, keys = self._options, repository.keys
        ids = Ids(keys.id_key)

        # Only where memory is short, as a compressor that chooses for itself does better with the shorter last chunk.
        tuned_for = self._room.tuned_for_bytes if self._room.tuned_for_bytes < options.chunk_size_bytes else None

        def make_writer() -> FrameWriter:
            return FrameWriter(
                keys,
                compression_level=options.compression_level,
                is_encrypted=repository.is_encrypted,
                tuned_for_bytes=tuned_for,
            )

        self._encoder = SpanEncoder(
            self._source,
            ids=ids,
            make_writer=make_writer,
            find=self._stored.find,
            chunk_size_bytes=options.chunk_size_bytes,
            span_chunks=options.span_chunks,
            kit_count=self._room.kits,
        )
        self._chunk_packer = Packer(
            self._budget,
            self._stored.pack_ids,
            self._stored.store,
            pack_size_bytes=CHUNK_PACK_SIZE_BYTES,
            uploads_max=_UPLOADS_MAX,
        )
        self._node_packer = Packer(
            self._budget,
            self._stored.pack_ids,
            self._stored.store,
            pack_size_bytes=NODE_PACK_SIZE_BYTES,
            uploads_max=1,
        )
        nodes = NodeCache(NodeFetcher(repository, self._workers))
        saver = NodeSaver(self._node_packer, self._workers, ids, make_writer())
        self._parent = TreeReader(parent, nodes.load)
        count = chunk_count(self._source.size_bytes, options.chunk_size_bytes)
        self._tree = TreeWriter(parent, count, nodes.load, saver.save)

    async def run(self) -> Tree:
        """Store everything and return the new tree; when this returns, all packs are on the target.

        Raises what failed first. Whether it fails or is cancelled, no thread works on and no buffer is lent.
        """
        self._progress.total_bytes = await self._workers.run(
            plan.data_size, self._source, self._changed, chunk_size_bytes=self._options.chunk_size_bytes
        )
        packers = self._chunk_packer, self._node_packer
        try:
            async with self._budget.hold(self._room.state_bytes), asyncio.TaskGroup() as stages:
                for packer in packers:
                    for _ in range(packer.uploads_max):
                        stages.create_task(packer.upload())
                tree = await self._pack()
                for packer in packers:
                    await packer.finish()
        finally:
            for packer in packers:
                packer.abandon()
        return tree

    def statistics(self, *, duration_s: float, requests: int) -> Statistics:
        """Return what the backup cost so far."""
        return Statistics(
            read_bytes=self._progress.done_bytes,
            new_bytes=self._new_bytes,
            stored_bytes=self._chunk_packer.stored_bytes + self._node_packer.stored_bytes,
            new_chunks=self._outcomes[Outcome.NEW],
            reused_chunks=self._outcomes[Outcome.REUSED],
            unchanged_chunks=self._outcomes[Outcome.UNCHANGED],
            zero_chunks=self._outcomes[Outcome.ZERO],
            nodes=self._tree.saved_nodes,
            packs=self._chunk_packer.stored_packs + self._node_packer.stored_packs,
            requests=requests,
            duration_s=duration_s,
        )

    async def _pack(self) -> Tree:
        async with aclosing(self._flights()) as flights:
            async for flight in flights:
                await self._land(flight)
        return await self._tree.finish()

    async def _land(self, flight: _Flight) -> None:
        """Take the result of one flight: frames into the pack, pointers into the tree."""
        if flight.encoding is None or flight.frames is None:
            for span in flight.spans:
                await self._tree.clear(span.first, span.end)
            return
        encoded = await self._encoded(flight.spans, flight.encoding)
        while lost := await self._stored.lost(
            _pointers(encoded, Outcome.REUSED), _pointers(encoded, Outcome.UNCHANGED)
        ):
            flight.parents = {index: one for index, one in flight.parents.items() if one.pack not in lost}
            flight.encoding = self._workers.submit(self._encoder.encode, flight.spans, flight.parents, flight.frames)
            encoded = await self._encoded(flight.spans, flight.encoding)
        for chunk in encoded:
            await self._place(chunk, flight.frames)
        self._progress.add(sum(chunk.plain_size for chunk in encoded))

    async def _encoded(self, spans: Sequence[Span], encoding: asyncio.Future[list[Encoded]]) -> list[Encoded]:
        try:
            async with asyncio.timeout(self._options.read_timeout_s):
                return await asyncio.shield(encoding)
        except TimeoutError:
            offset = spans[0].first * self._options.chunk_size_bytes
            raise SourceUnreadable(
                f"no answer to a read from offset {offset} on within {self._options.read_timeout_s:g} s"
            ) from None

    async def _place(self, chunk: Encoded, frames: memoryview) -> None:
        outcome, pointer = chunk.outcome, chunk.pointer
        if outcome is Outcome.NEW and (pointer := self._stored.pending(chunk.id)):
            outcome = Outcome.REUSED  # An equal chunk came by while this one was in a thread.
        elif outcome is Outcome.NEW:
            pointer = await self._chunk_packer.append(Kind.CHUNK, chunk.id, frames[chunk.start : chunk.end])
            self._stored.expect(pointer)
            self._new_bytes += chunk.plain_size
        self._outcomes[outcome] += 1
        if outcome is not Outcome.UNCHANGED:
            await self._tree.set(chunk.number, pointer)

    async def _flights(self) -> AsyncGenerator[_Flight, None]:
        """Yield what was launched in order, a bounded number being encoded ahead."""
        window: deque[_Flight] = deque()
        try:
            async for trip in self._trips():
                window.append(await self._launch(trip))
                if len(window) >= self._room.spans:
                    yield window[0]
                    self._recover(window.popleft())
            while window:
                yield window[0]
                self._recover(window.popleft())
        finally:
            await settle(flight.encoding for flight in window if flight.encoding is not None)
            for flight in window:
                self._recover(flight)

    async def _launch(self, trip: Sequence[Span]) -> _Flight:
        if not trip[0].is_data:
            return _Flight(trip, {}, None, None)
        parents: dict[int, Pointer] = {}
        for span in trip:
            async for leaf in self._parent.leaves(span.first, span.end):
                parents.update(leaf)
        frames = await self._budget.acquire(self._encoder.frames_size_max)
        return _Flight(trip, parents, self._workers.submit(self._encoder.encode, trip, parents, frames), frames)

    def _recover(self, flight: _Flight) -> None:
        if flight.frames is not None:
            self._budget.release(flight.frames)

    async def _trips(self) -> AsyncIterator[list[Span]]:
        spans = plan.spans(
            self._source,
            self._changed,
            chunk_size_bytes=self._options.chunk_size_bytes,
            span_chunks=self._options.span_chunks,
        )
        while batch := await self._workers.run(lambda: list(islice(spans, _PLAN_BATCH))):
            await self._parent.load_ahead([(span.first, span.end) for span in batch if span.is_data])
            for trip in plan.trips(batch, chunks_max=self._options.span_chunks):
                yield trip


def _pointers(encoded: Sequence[Encoded], outcome: Outcome) -> list[Pointer]:
    return [chunk.pointer for chunk in encoded if chunk.outcome is outcome and chunk.pointer is not None]
