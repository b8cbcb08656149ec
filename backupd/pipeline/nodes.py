"""Where the nodes of volume trees come from and go to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from backupd.pipeline.fetch import NodeFetcher
from backupd.pipeline.packer import Packer
from backupd.pipeline.workers import Workers
from chunker.digest import Ids, Kind
from chunker.frame import OVERHEAD_BYTES_MAX, FrameWriter
from chunker.node import NODE_SIZE_BYTES_MAX, Pointer

_CACHED_NODES_MAX = 128


class NodeCache:
    """Loads nodes, each from the target once while it is among the 128 used last (4 MiB)."""

    def __init__(self, fetcher: NodeFetcher) -> None:
        self._fetcher = fetcher
        self._cached: OrderedDict[bytes, bytes] = OrderedDict()
        self.loads = 0

    async def load(self, pointers: Sequence[Pointer]) -> list[bytes]:
        """Return the plain bytes of each node; CorruptObject names a pack that is damaged or lost."""
        missing = [pointer for pointer in pointers if pointer.id not in self._cached]
        fetched = dict(zip([p.id for p in missing], await self._fetcher.fetch(missing), strict=True))
        self.loads += len(missing)
        found = [fetched.get(pointer.id) or self._cached[pointer.id] for pointer in pointers]
        for pointer, plain in zip(pointers, found, strict=True):
            self._cached[pointer.id] = plain
            self._cached.move_to_end(pointer.id)
        while len(self._cached) > _CACHED_NODES_MAX:
            self._cached.popitem(last=False)
        return found


class NodeSaver:
    """Seals nodes and appends them to packs of their own, so that a reader finds them side by side."""

    def __init__(self, packer: Packer, workers: Workers, ids: Ids, writer: FrameWriter) -> None:
        self._packer = packer
        self._workers = workers
        self._ids = ids
        self._writer = writer
        self._out = memoryview(bytearray(NODE_SIZE_BYTES_MAX + OVERHEAD_BYTES_MAX))

    async def save(self, plain: bytes) -> Pointer:
        """Store a node and return where it will be."""
        node_id, length = await self._workers.run(self._seal, plain)
        return await self._packer.append(Kind.NODE, node_id, self._out[:length])

    def _seal(self, plain: bytes) -> tuple[bytes, int]:
        node_id = self._ids.of(Kind.NODE, plain)
        return node_id, self._writer.encode(Kind.NODE, node_id, memoryview(plain), self._out)
