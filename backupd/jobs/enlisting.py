"""Several daemons with catalogs of their own may write to one repository; here one tells the others.

Who collects first stores what it condemns and then looks who else writes. Who writes first stores that it does and
then looks what is condemned. So at least one sees the other: docs/collection.md.
"""

from __future__ import annotations

import logging

from backupd.catalog.store import Catalog
from backupd.errors import CorruptObject
from backupd.model import RepositoryName
from backupd.repository import condemned, layout, writer
from backupd.repository.writer import Writer
from chunker.errors import UnknownFormat
from targets.base import Target
from targets.errors import ObjectNotFound

_log = logging.getLogger(__name__)


class Enlisting:
    """Enlists the daemon, once in each repository that it writes to. ``node`` tells people which daemon it is."""

    def __init__(self, catalog: Catalog, node: str) -> None:
        self._collections = catalog.collections
        self._node = node
        self._enlisted: set[RepositoryName] = set()

    async def __call__(self, name: RepositoryName, target: Target) -> None:
        """Store that the daemon writes to a repository, and then learn what it may not rely on in there."""
        if name in self._enlisted:
            return
        catalog_id = await self._collections.catalog_id()
        await target.put(layout.writer(catalog_id), writer.encode(Writer(catalog_id, self._node)))
        await self._collections.adopt(name, await _condemned_by_others(target, catalog_id))
        self._enlisted.add(name)


async def _condemned_by_others(target: Target, catalog_id: str) -> list[bytes]:
    found: list[bytes] = []
    async for info in target.list(layout.CONDEMNED):
        other = layout.condemning_catalog(info.key)
        if other is None or other == catalog_id:
            continue
        try:
            found += condemned.decode(other, await target.get(info.key)).pack_ids
        except ObjectNotFound:
            continue  # It is carried out: what it named is gone, and is looked for before anybody relies on it.
        except (CorruptObject, UnknownFormat) as error:  # Nobody knows what not to rely on.
            raise type(error)(
                f"{info.key}: {error}; nothing is written here before that daemon has stored it anew, which its next "
                f"collection does, or is gone for good\nHINT: backupctl target collect NAME --forget-writer {other}"
            ) from error
    return found


async def foreign_writers(target: Target, catalog_id: str) -> list[Writer]:
    """Return the daemons of other catalogs that write to a repository; one may be known by its key alone."""
    found = []
    async for info in target.list(layout.WRITERS):
        other = layout.catalog_id(info.key)
        if other is not None and other != catalog_id:
            try:
                found.append(writer.decode(other, await target.get(info.key)))
            except ObjectNotFound:
                continue  # Somebody has just said that it is gone for good.
            except (CorruptObject, UnknownFormat) as error:
                found.append(Writer(other, f"{info.key}: {error}"))
    return found


async def forget_writer(target: Target, catalog_id: str) -> None:
    """Remove what the daemons of another catalog, which are gone for good, have left about themselves."""
    await target.delete(layout.writer(catalog_id))
    await target.delete_many([info.key async for info in target.list(f"{layout.CONDEMNED}{catalog_id}/")])
