"""The ids of new packs, which a later attempt of the same job can find again."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence

from chunker.pack import PACK_ID_SIZE_BYTES

RecordPacks = Callable[[Sequence[bytes]], Awaitable[None]]
"""Remember durably that packs of these ids may be stored from now on."""

_IDS_AHEAD = 16


class PackIds:
    """Draws the ids of packs; each is remembered before anything is stored under it, many with one transaction."""

    def __init__(self, record: RecordPacks) -> None:
        self._record = record
        self._drawn: list[bytes] = []

    async def draw(self) -> bytes:
        """Return an id that nobody has. One at a time."""
        if not self._drawn:
            ids = [secrets.token_bytes(PACK_ID_SIZE_BYTES) for _ in range(_IDS_AHEAD)]
            await self._record(ids)
            self._drawn = [*ids]
        return self._drawn.pop()
