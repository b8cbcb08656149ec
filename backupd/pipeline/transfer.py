"""Packs from one target to another as they are, each checked on the way; no key is needed for that."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence

from backupd.errors import CorruptObject, LostPack
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.fetch import NodeFetcher, named, read_again_if_corrupt
from backupd.pipeline.nodes import NodeCache
from backupd.pipeline.parallel import for_each
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.workers import Workers
from backupd.repository import forward, layout
from backupd.repository.forward import Forward
from backupd.repository.forwards import HOPS_MAX
from backupd.repository.manifest import Manifest
from backupd.repository.ranges import Range
from backupd.repository.repository import Repository
from chunker import frame, pack
from chunker.errors import CorruptFrame, CorruptPack
from chunker.node import Pointer
from chunker.tree import TreeReader, difference
from targets.base import Target
from targets.errors import ObjectNotFound

COPIES_MAX = 4
_PACKS_REMEMBERED = 64 * 1024


Rescue = Callable[[Collection[bytes]], Awaitable[None]]
"""Let packs stay on the destination that are condemned there; raise when it is too late."""


class PackTransfer:
    """Copies packs that a destination does not have yet; a damaged one is not passed on.

    Of a pack that was compacted away at the source its frames are copied, in the packs where they are now. What
    there is to do is known only pack by pack, so the total of ``progress`` grows on the way.
    """

    def __init__(
        self,
        source: Repository,
        destination: Target,
        *,
        workers: Workers,
        budget: ByteBudget,
        progress: ProgressMeter,
        rescue: Rescue,
    ) -> None:
        self._source = source
        self._destination = destination
        self._rescue = rescue
        self._workers = workers
        self._budget = budget
        self._progress = progress

    async def run(self, pack_ids: AsyncIterator[bytes]) -> None:
        """Copy what is missing, a few at a time. CorruptObject names a pack that is lost or damaged."""
        await for_each(pack_ids, self._bring, tasks_max=COPIES_MAX)

    async def _bring(self, pack_id: bytes, hops: int = 0) -> None:
        await self._rescue([pack_id])  # First: what is condemned after one has looked waits for this job.
        there_bytes = await self._size_there(pack_id)
        try:
            size_bytes = await self._source.pack_size(pack_id)
        except LostPack:
            if there_bytes is not None:
                await self._check_there(pack_id)
                return
            places = await self._source.forward(pack_id)
            if places is None or hops >= HOPS_MAX:
                raise
            await self._bring_moved(pack_id, places, hops + 1)
        else:
            if there_bytes != size_bytes:  # A backup may have stored it by half there, and gone on without that target.
                await self._copy(pack_id, size_bytes)

    async def _size_there(self, pack_id: bytes) -> int | None:
        try:
            return (await self._destination.head(layout.pack(pack_id))).size_bytes
        except ObjectNotFound:
            return None

    async def _check_there(self, pack_id: bytes) -> None:
        """Believe a pack that the source has no more only if it is there to its end. CorruptObject.

        It is not deleted here: nobody has looked whether other backups there need what there is of it.
        """
        try:
            await self._source.through(self._destination).footer(pack_id)
        except CorruptObject as error:
            error.add_note("that is what the destination has of it: collect that target, and copy again")
            raise

    async def _bring_moved(self, pack_id: bytes, places: Forward, hops: int) -> None:
        for moved_to in dict.fromkeys(place.pack for place in places.values()):
            await self._bring(moved_to, hops)
        key = layout.forward(pack_id)
        try:
            known = forward.decode(pack_id, await self._destination.get(key))
        except ObjectNotFound:
            known = {}
        if not places.items() <= known.items():
            await self._destination.put(key, forward.encode(pack_id, {**known, **places}))

    async def _copy(self, pack_id: bytes, size_bytes: int) -> None:
        self._progress.total_bytes += size_bytes
        async with self._budget.lend(_rounded(size_bytes)) as buffer:
            body = buffer[:size_bytes]

            async def read() -> None:
                await self._source.fetch(Range(pack_id, 0, size_bytes, []), body)
                await self._workers.run(check_pack, pack_id, body)

            await read_again_if_corrupt(self._source, read)
            await self._destination.put(layout.pack(pack_id), body)
        self._progress.add(size_bytes)


def check_pack(pack_id: bytes, body: memoryview) -> None:
    """Raise CorruptObject, which names the pack, unless its footer and the checksum of every frame hold. Blocks."""
    key = layout.pack(pack_id)
    try:
        for entry in pack.read_footer(pack_id, len(body), body):
            try:
                frame.check(body[entry.offset : entry.offset + entry.length])
            except CorruptFrame as error:
                raise named(Pointer(entry.id, pack_id, entry.offset, entry.length), error) from error
    except CorruptPack as error:
        raise CorruptObject(f"{key}: {error}", pack_id=pack_id) from error


async def packs_of(
    manifest: Manifest, repository: Repository, workers: Workers, *, without: Manifest | None = None
) -> AsyncIterator[bytes]:
    """Yield each pack that a backup refers to; one may come again when very many others came between.

    What it shares with ``without``, whose packs are there already, is neither read nor given.
    """
    nodes = NodeCache(NodeFetcher(repository, workers))
    seen = _Seen()

    async def load(pointers: Sequence[Pointer]) -> list[bytes]:
        met.extend(pointer.pack for pointer in pointers)
        return await nodes.load(pointers)

    met: list[bytes] = []
    reader = TreeReader(manifest.tree, load)
    if without is None:
        async for leaf in reader.leaves(0, manifest.tree.chunk_count):
            met.extend(pointer.pack for pointer in leaf.values())
            for pack_id in seen.new(met):
                yield pack_id
    else:
        async for index in difference(without.tree, manifest.tree, load):
            async for leaf in reader.leaves(index, index + 1):
                met.extend(pointer.pack for pointer in leaf.values())
            for pack_id in seen.new(met):
                yield pack_id
    for pack_id in seen.new(met):
        yield pack_id


class _Seen:
    """Which packs were given, as far as a bounded memory goes."""

    def __init__(self) -> None:
        self._packs: OrderedDict[bytes, None] = OrderedDict()

    def new(self, met: list[bytes]) -> list[bytes]:
        """Return those of ``met`` that are new, which is empty from then on."""
        fresh = [pack_id for pack_id in dict.fromkeys(met) if pack_id not in self._packs]
        met.clear()
        self._packs.update(dict.fromkeys(fresh))
        while len(self._packs) > _PACKS_REMEMBERED:
            self._packs.popitem(last=False)
        return fresh


def _rounded(size_bytes: int) -> int:
    """Return a size that many buffers have, so that they are used again."""
    unit = 4 * 1024 * 1024
    return -(-size_bytes // unit) * unit
