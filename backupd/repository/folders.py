"""Which prefixes the packs of a repository are listed by."""

from __future__ import annotations

from backupd.repository import layout
from targets.base import Target, closing

_LISTED_AT_ONCE_MAX = 1000  # As many as one answer of most stores has.


async def pack_folders(target: Target) -> list[str]:
    """Return prefixes that have all packs between them, and each a bounded part: who lists one remembers its keys.

    A small repository has one: listing each folder would take longer than all else that is done to it.
    """
    count = 0
    async with closing(target.list(layout.PACKS)) as found:
        async for _ in found:
            count += 1
            if count > _LISTED_AT_ONCE_MAX:
                return [f"{layout.PACKS}{number:02x}/" for number in range(256)]
    return [layout.PACKS]
