"""Restore: every chunk of a backup, verified, to where it belongs; the rest is made zeros."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from backupd.pipeline import walk
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.decode import Cut, SpanDecoder, decoding
from backupd.pipeline.fetch import NodeFetcher
from backupd.pipeline.nodes import NodeCache
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.walk import SpanPointers
from backupd.pipeline.workers import Workers
from backupd.repository.manifest import Manifest
from backupd.repository.repository import Repository
from chunker.destinations.base import Destination
from chunker.extents import Extent

_RUN_SIZE_BYTES = 4 * 1024 * 1024  # Larger writes were not faster.


class RestorePipeline:
    """Writes one backup to one destination."""

    def __init__(
        self,
        *,
        manifest: Manifest,
        repository: Repository,
        destination: Destination,
        workers: Workers,
        budget: ByteBudget,
        progress: ProgressMeter,
    ) -> None:
        self._manifest = manifest
        self._destination = destination
        self._workers = workers
        self._progress = progress
        self._cut = Cut.of(manifest, run_size_bytes=_RUN_SIZE_BYTES)
        self._nodes = NodeCache(NodeFetcher(repository, workers))
        threads_max = workers.thread_count + workers.spare_count  # Those that write do not compute.
        self._decoding = decoding(
            repository, workers, budget, cut=self._cut, threads_max=threads_max, write=destination.write
        )

    async def run(self) -> None:
        """Write everything and make it durable; on failure nothing that looks like a result is left.

        CorruptObject names what cannot be read; nothing that was not verified is ever written.
        """
        self._progress.total_bytes = self._manifest.size_bytes
        try:
            async with self._decoding as decoder:
                await walk.for_each_span(
                    self._spans_and_zeros(), partial(self._restore, decoder), tasks_max=decoder.spans_max
                )
            await self._workers.run(self._destination.finish)
        except BaseException:
            await self._workers.run(self._destination.abort)
            raise

    async def _restore(self, decoder: SpanDecoder, span: SpanPointers) -> None:
        self._progress.add(await decoder.decode(span))

    async def _spans_and_zeros(self) -> AsyncIterator[SpanPointers]:
        """Yield the spans that hold data, and zero what lies between them on the way."""
        chunk_size = self._manifest.chunk_size_bytes
        position = 0
        async for span in self._cut.spans(self._manifest.tree, self._nodes.load):
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
