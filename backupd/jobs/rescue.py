"""Copies rely on what their destination has already; what is condemned there must stay first."""

from __future__ import annotations

from collections.abc import Collection

from backupd.catalog.store import Catalog
from backupd.errors import Conflict
from backupd.model import RepositoryName
from backupd.pipeline.transfer import Rescue
from backupd.repository import layout


async def rescue_on(catalog: Catalog, name: RepositoryName) -> Rescue:
    """Return who reprieves packs on a destination. The job that asks is waited for by what is condemned later."""
    collections = catalog.collections
    has_condemned = await collections.has_condemned([name])

    async def rescue(pack_ids: Collection[bytes]) -> None:
        if has_condemned and not await collections.rescue(name, pack_ids):
            keys = ", ".join(map(layout.pack, pack_ids))
            raise Conflict(f"target {name.target}: {keys} is being deleted; copy again when the collection has ended")

    return rescue
