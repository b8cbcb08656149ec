"""Where frames are by now: pointers followed to packs that are there, as the last listing showed them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from backupd.errors import CorruptObject
from backupd.jobs.repositories_of import RepositoryScope
from backupd.jobs.resources import Resources
from backupd.repository import layout
from backupd.repository.forwards import HOPS_MAX
from backupd.repository.repository import Repository
from chunker.errors import UnknownFormat
from chunker.node import Pointer
from targets.errors import ObjectNotFound

_PACKS_REMEMBERED = 64 * 1024


class Places:
    """Follows forwards on one target. What was seen once counts as there or lost, as far as a bounded memory goes."""

    def __init__(
        self,
        resources: Resources,
        scope: RepositoryScope,
        repository: Repository,
        *,
        packs_remembered: int = _PACKS_REMEMBERED,
    ) -> None:
        self._condition = resources.catalog.condition
        self._scope = scope
        self._repository = repository
        self._packs_remembered = packs_remembered
        self._sizes: OrderedDict[bytes, int | None] = OrderedDict()  # None: the target has no such pack.
        self._without_forward: OrderedDict[bytes, None] = OrderedDict()

    async def now(self, pointers: Iterable[Pointer]) -> dict[Pointer, Pointer]:
        """Return where the frame of each pointer is; that itself when it is there, or lost."""
        asked = [*pointers]
        for pack_id in {pointer.pack for pointer in asked} & self._sizes.keys():
            self._sizes.move_to_end(pack_id)
        self._shorten(self._sizes)  # Here alone: what is asked for now must not be forgotten before it is answered.
        await self._look({pointer.pack for pointer in asked})
        return {one: one if self.size(one.pack) is not None else await self._followed(one) for one in asked}

    def size(self, pack_id: bytes) -> int | None:
        """Return the size of a pack that was asked for just now, None when it is lost."""
        return self._sizes.get(pack_id)

    async def _followed(self, pointer: Pointer) -> Pointer:
        now = pointer
        for _ in range(HOPS_MAX):
            try:
                after = await self._moved(now)
            except (CorruptObject, UnknownFormat):
                return now  # Nobody knows where it went: it counts as lost where it was.
            if after is None:
                return now
            await self._look({after.pack})
            now = after
            if self.size(now.pack) is not None:
                return now
        return pointer

    async def _moved(self, pointer: Pointer) -> Pointer | None:
        """Return where a frame went in one step; of a pack that has no forward nobody asks twice."""
        pack_id = pointer.pack
        if pack_id in self._without_forward:
            return None
        after = await self._repository.moved(pointer)
        if after is None and await self._repository.forward(pack_id) is None:
            self._without_forward[pack_id] = None
            self._shorten(self._without_forward)
        return after

    async def _look(self, packs: set[bytes]) -> None:
        """Learn the sizes of packs: of the listing, or when it has not got one, what the target says now."""
        names = {self._scope.prefix + layout.pack(one): one for one in packs if one not in self._sizes}
        if not names:
            return
        found = await self._condition.sizes(self._scope.target, [*names])
        self._sizes.update({names[key]: size for key, size in found.items()})
        for pack_id in (names[key] for key in names.keys() - found.keys()):
            try:
                self._sizes[pack_id] = (await self._scope.store.head(layout.pack(pack_id))).size_bytes
            except ObjectNotFound:
                self._sizes[pack_id] = None

    def _shorten(self, remembered: OrderedDict[bytes, Any]) -> None:
        while len(remembered) > self._packs_remembered:
            remembered.popitem(last=False)
