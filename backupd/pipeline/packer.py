"""From frames to packs on the target: fills one pack at a time and uploads the full ones meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.pack_ids import PackIds
from chunker.digest import Kind
from chunker.node import Pointer
from chunker.pack import PackEntry, PackWriter

StorePack = Callable[[bytes, memoryview, Sequence[PackEntry]], Awaitable[None]]
"""Store a sealed pack: (pack id, bytes, entries). Returns once it is durable on the target."""


@dataclass(slots=True)
class _OpenPack:
    writer: PackWriter
    buffer: memoryview


class Packer:
    """Appends frames to the open pack; a pointer is known at once, though its pack is stored later.

    The caller runs ``upload`` in as many tasks as may upload at the same time, and ``finish`` ends them.
    """

    def __init__(
        self, budget: ByteBudget, ids: PackIds, store: StorePack, *, pack_size_bytes: int, uploads_max: int
    ) -> None:
        self._budget = budget
        self._ids = ids
        self._store = store
        self._pack_size_bytes = pack_size_bytes
        self.uploads_max = uploads_max
        self._open: _OpenPack | None = None
        self._sealed: asyncio.Queue[_OpenPack | None] = asyncio.Queue(maxsize=1)
        self.stored_bytes = 0
        self.stored_packs = 0

    async def append(self, kind: Kind, frame_id: bytes, frame: memoryview) -> Pointer:
        """Copy ``frame`` into the open pack, sealing that first when it is full."""
        if self._open is not None and not self._open.writer.fits(len(frame)):
            await self._seal()
        if self._open is None:
            pack_id = await self._ids.draw()
            buffer = await self._budget.acquire(self._pack_size_bytes)
            self._open = _OpenPack(PackWriter(pack_id, buffer), buffer)
        entry = self._open.writer.append(kind, frame_id, frame)
        return Pointer(frame_id, self._open.writer.pack_id, entry.offset, entry.length)

    async def finish(self) -> None:
        """Seal the last pack and tell the uploads to end when all is stored."""
        await self._seal()
        for _ in range(self.uploads_max):
            await self._sealed.put(None)

    async def upload(self) -> None:
        """Store sealed packs until ``finish``."""
        while (sealed := await self._sealed.get()) is not None:
            try:
                body = sealed.writer.seal()
                await self._store(sealed.writer.pack_id, body, sealed.writer.entries)
                self.stored_bytes += len(body)
                self.stored_packs += 1
            finally:
                self._budget.release(sealed.buffer)

    def abandon(self) -> None:
        """Give back what was never uploaded; for a backup that failed."""
        while not self._sealed.empty():
            sealed = self._sealed.get_nowait()
            if sealed is not None:
                self._budget.release(sealed.buffer)
        if self._open is not None:
            self._budget.release(self._open.buffer)
            self._open = None

    async def _seal(self) -> None:
        if self._open is not None:
            sealed, self._open = self._open, None
            try:
                await self._sealed.put(sealed)
            except asyncio.CancelledError:
                self._open = sealed
                raise
