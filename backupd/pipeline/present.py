"""Which packs are on the target: each is looked for once, before a backup relies on what is in it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence

from backupd.errors import CorruptObject
from backupd.repository.forwards import HOPS_MAX
from backupd.repository.repository import Repository
from chunker.node import Pointer

_LOOKS_MAX = 8
_PACKS_REMEMBERED = 64 * 1024


class PresentPacks:
    """Tells which packs are lost; what was seen once counts as there, as far as a bounded memory goes.

    Those that are known to be ``damaged`` count as lost.
    """

    def __init__(self, repository: Repository, damaged: Collection[bytes] = ()) -> None:
        self._repository = repository
        self._damaged = damaged
        self._looks = asyncio.Semaphore(_LOOKS_MAX)
        self._sizes: OrderedDict[bytes, int] = OrderedDict()

    def add(self, pack_id: bytes, size_bytes: int) -> None:
        """Note a pack that was stored just now, or seen elsewhere."""
        self._sizes[pack_id] = size_bytes

    async def lost(self, pointers: Iterable[Pointer], movable: Iterable[Pointer] = ()) -> set[bytes]:
        """Return the packs that are not on the target, or end before what they should hold.

        One that was compacted away is not lost if all that is ``movable`` of it was moved, and no other is asked for.
        """
        moving, fixed = [*movable], [*pointers]
        lost = await self._gone([*fixed, *moving])
        if not lost:
            return lost
        moved = [pointer for pointer in moving if pointer.pack in lost]
        stuck = {pointer.pack for pointer in fixed} | {one.pack for one in moved if not await self._has_moved(one)}
        return lost & stuck

    async def _has_moved(self, pointer: Pointer) -> bool:
        now: Pointer | None = pointer
        for _ in range(HOPS_MAX):
            if now is None or not await self._gone([now]):
                break
            now = await self._repository.moved(now)
        return now is not None

    async def _gone(self, pointers: Sequence[Pointer]) -> set[bytes]:
        ends: dict[bytes, int] = {}
        for pointer in pointers:
            ends[pointer.pack] = max(ends.get(pointer.pack, 0), pointer.offset + pointer.length)
        unseen = [pack_id for pack_id in ends if pack_id not in self._sizes]
        if len(unseen) == 1:  # The usual case needs no task of its own.
            await self._look(unseen[0])
        elif unseen:
            async with asyncio.TaskGroup() as looks:
                for pack_id in unseen:
                    looks.create_task(self._look(pack_id))
        lost = {
            pack_id for pack_id, end in ends.items() if self._sizes.get(pack_id, -1) < end or pack_id in self._damaged
        }
        for pack_id in lost:
            self._sizes.pop(pack_id, None)  # It may be there again later, as by the copy of another target.
        while len(self._sizes) > _PACKS_REMEMBERED:
            self._sizes.popitem(last=False)
        return lost

    async def _look(self, pack_id: bytes) -> None:
        async with self._looks:
            try:
                self._sizes[pack_id] = await self._repository.pack_size(pack_id)
            except CorruptObject:
                return
