"""Which chunks need not be stored again: those the repository has, and those that are on their way to it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

from backupd.pipeline.pack_ids import PackIds
from backupd.pipeline.present import PresentPacks
from backupd.pipeline.workers import Workers
from backupd.repository import layout
from backupd.repository.index import ChunkIndex
from backupd.repository.repository import Repository
from chunker.node import Pointer
from chunker.pack import PackEntry

FindCondemned = Callable[[Collection[bytes]], Awaitable[Collection[bytes]]]
"""Return those of some packs that nobody may begin to rely on, because they are to be deleted."""

_PACKS_REMEMBERED = 4
_SPARED_REMEMBERED = 64 * 1024
_log = logging.getLogger(__name__)


class StoredChunks:
    """De-duplication for one backup. ``index`` None: only what this backup itself is storing is not repeated.

    A chunk counts as stored for others only when its pack is on the target; for this backup already when it
    is in a pack, because the backup is not published unless that pack arrives. What is found is a hint until
    ``lost`` was asked about it, for packs may have vanished since they were stored. ``is_everywhere`` tells whether
    what is stored reaches every target that the index is of; while it does not, others are not told. Packs that
    are known to be ``damaged`` count as lost. Each pack that was stored is told to ``note_stored``.
    """

    def __init__(
        self,
        repository: Repository,
        workers: Workers,
        index: ChunkIndex | None,
        pack_ids: PackIds,
        *,
        is_everywhere: Callable[[], bool] = lambda: True,
        damaged: Collection[bytes] = (),
        find_condemned: FindCondemned | None = None,
        note_stored: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        self._repository = repository
        self._workers = workers
        self._index = index
        self.pack_ids = pack_ids
        self._is_everywhere = is_everywhere
        self._present = PresentPacks(repository, damaged)
        self._find_condemned = find_condemned
        self._note_stored = note_stored
        self._spared: set[bytes] = set()
        self._pending: dict[bytes, Pointer] = {}
        self._stored: deque[Sequence[PackEntry]] = deque()

    def find(self, ids: Sequence[bytes]) -> Mapping[bytes, Pointer]:
        """Return where those of ``ids`` are that need not be stored. Blocks; for worker threads."""
        # First what is pending: it moves to the index before it leaves here, so it cannot be missed.
        found = {i: pointer for i in ids if (pointer := self._pending.get(i))}
        if self._index is not None:
            found.update(self._index.find([i for i in ids if i not in found]))
        return found

    def pending(self, chunk_id: bytes) -> Pointer | None:
        """Return where this backup itself put the chunk a short while ago."""
        return self._pending.get(chunk_id)

    def expect(self, pointer: Pointer) -> None:
        """Note a chunk that was put in a pack."""
        self._pending[pointer.id] = pointer

    async def lost(self, found: Iterable[Pointer], unchanged: Iterable[Pointer] = ()) -> Collection[bytes]:
        """Return the packs that cannot be relied on; nobody finds their chunks any more.

        ``found`` came from ``find``; ``unchanged`` are the parent's, which has them as long as this backup is not
        published. So these may be in packs that are condemned, or were moved meanwhile.
        """
        others = [pointer for pointer in found if self._pending.get(pointer.id) != pointer]
        condemned = await self._condemned({pointer.pack for pointer in others})  # Before one looks what is there.
        lost = await self._present.lost((one for one in others if one.pack not in condemned), unchanged)
        for pack_id in lost:
            _log.warning("%s is lost: what it held and is still wanted is stored anew", layout.pack(pack_id))
        unreliable = lost | condemned
        if self._index is not None and unreliable:
            await self._workers.run(self._index.forget, [*unreliable])
        return unreliable

    async def _condemned(self, packs: set[bytes]) -> set[bytes]:
        """Ask about each pack once: what is condemned later waits for this backup."""
        unseen = packs - self._spared
        if self._find_condemned is None or not unseen:
            return set()
        condemned = {*await self._find_condemned(unseen)}
        if len(self._spared) > _SPARED_REMEMBERED:
            self._spared.clear()
        self._spared |= unseen - condemned
        return condemned

    async def store(self, pack_id: bytes, body: memoryview, entries: Sequence[PackEntry]) -> None:
        """Store a pack, and only then let others find its chunks."""
        await self._repository.put_pack(pack_id, body)
        self._note_stored(pack_id)
        self._present.add(pack_id, len(body))
        if self._index is not None and self._is_everywhere():
            await self._workers.run(self._index.add, pack_id, entries)
        # A span that was looked up before this pack arrived may still be in a thread: forget a little later.
        self._stored.append(entries)
        while len(self._stored) > _PACKS_REMEMBERED:
            for entry in self._stored.popleft():
                self._pending.pop(entry.id, None)
