"""Verify: everything that a restore would read, and the footers of the packs, read and checked."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial

from backupd.errors import CorruptObject, LostPack
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.decode import Cut, SpanDecoder, decoding
from backupd.pipeline.fetch import NodeFetcher
from backupd.pipeline.nodes import NodeCache
from backupd.pipeline.parallel import for_each
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.walk import SpanPointers
from backupd.pipeline.workers import Workers
from backupd.repository import layout
from backupd.repository.forwards import HOPS_MAX
from backupd.repository.manifest import Manifest
from backupd.repository.repository import Repository
from chunker.node import Pointer

_FOOTERS_REMEMBERED = 64
_Footer = dict[int, tuple[bytes, int]]
"""Offset of a frame in its pack -> its id and length."""


class VerifyPipeline:
    """Reads one backup back without writing it anywhere."""

    def __init__(
        self,
        *,
        manifest: Manifest,
        repository: Repository,
        workers: Workers,
        budget: ByteBudget,
        progress: ProgressMeter,
    ) -> None:
        self._manifest = manifest
        self._repository = repository
        self._workers = workers
        self._progress = progress
        self._footers: OrderedDict[bytes, _Footer] = OrderedDict()
        self._asking: defaultdict[bytes, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._cut = Cut.of(manifest, run_size_bytes=manifest.chunk_size_bytes)
        self._nodes = NodeCache(NodeFetcher(repository, workers))
        self._decoding = decoding(repository, workers, budget, cut=self._cut, write=None)

    async def run(self) -> None:
        """Return when every byte of the backup was read and is right; CorruptObject names what is not."""
        self._progress.total_bytes = self._manifest.size_bytes
        spans = self._cut.spans(self._manifest.tree, self._load_nodes)
        async with self._decoding as decoder:
            await for_each(spans, partial(self._verify, decoder), tasks_max=decoder.spans_max)
        # What no chunk covers is zeros, which have nothing to be read.
        self._progress.add(self._progress.total_bytes - self._progress.done_bytes)

    async def _load_nodes(self, pointers: Sequence[Pointer]) -> list[bytes]:
        await self._check_footers(pointers)
        return await self._nodes.load(pointers)

    async def _verify(self, decoder: SpanDecoder, span: SpanPointers) -> None:
        await self._check_footers(span.values())
        self._progress.add(await decoder.decode(span))

    async def _check_footers(self, pointers: Iterable[Pointer]) -> None:
        """CorruptObject unless the pack of each pointer says that it holds just that frame there."""
        for said in pointers:
            pointer, footer = said, self._footers.get(said.pack)
            if footer is None:
                pointer, footer = await self._found(said)
            if footer.get(pointer.offset) != (pointer.id, pointer.length):
                raise CorruptObject(
                    f"{layout.pack(pointer.pack)}: its footer does not list frame {pointer.id.hex()} "
                    f"at offset {pointer.offset}",
                    pack_id=pointer.pack,
                )

    async def _found(self, pointer: Pointer) -> tuple[Pointer, _Footer]:
        """Return where a frame is, and the footer of the pack there; that is another one after a compaction."""
        for _ in range(HOPS_MAX):
            try:
                return pointer, await self._footer(pointer.pack)
            except LostPack:
                if (now := await self._repository.moved(pointer)) is None:
                    raise
                pointer = now
        raise CorruptObject(f"{layout.forward(pointer.pack)}: the forwards that lead here never end")

    async def _footer(self, pack_id: bytes) -> _Footer:
        try:
            async with self._asking[pack_id]:  # Of spans that touch it at the same time, one asks.
                if (found := self._footers.get(pack_id)) is None:
                    entries = await self._repository.footer(pack_id)
                    found = self._footers[pack_id] = {entry.offset: (entry.id, entry.length) for entry in entries}
                    if len(self._footers) > _FOOTERS_REMEMBERED:
                        self._footers.popitem(last=False)
                return found
        finally:
            self._asking.pop(pack_id, None)
