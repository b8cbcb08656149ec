"""Restore: every chunk of a backup, verified, to where it belongs; the rest is made zeros."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial

from backupd.errors import CorruptObject
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.decode import Cut, SpanDecoder, decoding
from backupd.pipeline.fetch import NodeFetcher
from backupd.pipeline.nodes import NodeCache
from backupd.pipeline.parallel import for_each
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.references import LostChunks, load_each, readable_leaves
from backupd.pipeline.salvage import DamagedRanges
from backupd.pipeline.walk import SpanPointers
from backupd.pipeline.workers import Workers
from backupd.repository.manifest import Manifest
from backupd.repository.repository import Repository
from chunker.destinations.base import Destination
from chunker.extents import Extent
from chunker.node import Pointer

_RUN_SIZE_BYTES = 4 * 1024 * 1024  # Larger writes were not faster.


async def _nothing() -> None:
    """Leave it at that."""


class RestorePipeline:
    """Writes one backup to one destination.

    What cannot be read is taken from ``others``, copies of the repository, if one of them has it. What nobody has
    fails the restore; or, with ``damaged``, is made zeros and noted there. ``before_finish`` is awaited when all is
    written and nobody can see it yet.
    """

    def __init__(
        self,
        *,
        manifest: Manifest,
        repository: Repository,
        destination: Destination,
        workers: Workers,
        budget: ByteBudget,
        progress: ProgressMeter,
        others: Sequence[Repository] = (),
        damaged: DamagedRanges | None = None,
        before_finish: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self._manifest = manifest
        self._destination = destination
        self._workers = workers
        self._progress = progress
        self._others = others
        self._damaged = damaged
        self._before_finish = before_finish
        self._cut = Cut.of(manifest, run_size_bytes=_RUN_SIZE_BYTES)
        self._nodes = NodeCache(NodeFetcher(repository, workers))
        self._other_nodes = [NodeFetcher(other, workers) for other in others]
        self._decoding = decoding(repository, workers, budget, cut=self._cut, write=destination.write)

    async def run(self) -> None:
        """Write everything and make it durable; on failure nothing that looks like a result is left.

        CorruptObject names what cannot be read; nothing that was not verified is ever written.
        """
        self._progress.total_bytes = self._manifest.size_bytes
        try:
            async with self._decoding as decoder:
                await for_each(self._spans_and_zeros(), partial(self._restore, decoder), tasks_max=decoder.spans_max)
            await self._before_finish()
            await self._workers.run(self._destination.finish)
        except BaseException:
            await self._workers.run(self._destination.abort)
            raise

    async def _restore(self, decoder: SpanDecoder, span: SpanPointers) -> None:
        if not self._others and self._damaged is None:
            self._progress.add(await decoder.decode(span))
            return
        try:
            self._progress.add(await decoder.decode(span))
            return
        except* CorruptObject:
            pass  # Some chunk of it: each by itself.
        for index, pointer in span.items():
            await self._salvage(decoder, index, pointer)

    async def _salvage(self, decoder: SpanDecoder, index: int, pointer: Pointer) -> None:
        """Restore one chunk from whoever has it, or note that nobody has."""
        failure: CorruptObject | None = None
        for repository in [None, *self._others]:
            try:
                self._progress.add(await decoder.decode({index: pointer}, repository))
                return
            except CorruptObject as error:
                failure = failure or error
        assert failure is not None
        await self._give_up(index, index + 1, failure)

    async def _give_up(self, first: int, end: int, failure: CorruptObject) -> None:
        if self._damaged is None:
            raise failure
        start_bytes = first * self._manifest.chunk_size_bytes
        end_bytes = min(end * self._manifest.chunk_size_bytes, self._manifest.size_bytes)
        self._damaged.add(start_bytes, end_bytes - start_bytes, failure)
        await self._zero(start_bytes, end_bytes)

    async def _load_nodes(self, pointers: Sequence[Pointer]) -> list[bytes]:
        if not self._others:
            return await self._nodes.load(pointers)
        return [
            await self._node_elsewhere(pointer, plain) if isinstance(plain, CorruptObject) else plain
            for pointer, plain in zip(pointers, await load_each(self._nodes.load, pointers), strict=True)
        ]

    async def _node_elsewhere(self, pointer: Pointer, failure: CorruptObject) -> bytes:
        for nodes in self._other_nodes:
            try:
                return (await nodes.fetch([pointer]))[0]
            except CorruptObject:
                continue
        raise failure

    async def _spans_and_zeros(self) -> AsyncIterator[SpanPointers]:
        """Yield the spans that hold data, and zero what lies between them on the way."""
        chunk_size = self._manifest.chunk_size_bytes
        position = 0
        async for leaf in readable_leaves(self._manifest.tree, self._load_nodes):
            if isinstance(leaf, LostChunks):
                await self._zero(position, leaf.first * chunk_size)
                await self._give_up(leaf.first, leaf.end, leaf.error)
                position = leaf.end * chunk_size
                continue
            for span in self._cut.spans_of(leaf):
                for index in sorted(span):
                    if position < index * chunk_size:
                        await self._zero(position, index * chunk_size)
                    position = (index + 1) * chunk_size
                yield span
        await self._zero(position, self._manifest.size_bytes)

    async def _zero(self, start_bytes: int, end_bytes: int) -> None:
        if start_bytes < end_bytes:
            await self._workers.run(self._destination.zero, Extent(start_bytes, end_bytes - start_bytes))
            self._progress.add(end_bytes - start_bytes)
