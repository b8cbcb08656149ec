"""Several daemons with catalogs of their own may write to one repository; here one tells the others.

Who collects first stores what it condemns and then looks who else writes. Who writes first stores that it does and
then looks what is condemned. So at least one sees the other: docs/collection.md.

On a full target nothing can be stored, and so nothing could ever be deleted. So each keeps a spare object there, which
makes room for what it has to say.
"""

from __future__ import annotations

import logging
import secrets

from backupd.catalog.store import Catalog
from backupd.errors import CorruptObject
from backupd.model import RepositoryName
from backupd.repository import condemned, layout, writer
from backupd.repository.writer import Writer
from chunker.errors import UnknownFormat
from targets.base import Target, exists
from targets.errors import ObjectNotFound, QuotaExceeded

_SPARE_BYTES = 64 * 1024  # What a thousand packs need to be told is a quarter of that.
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
        body = writer.encode(Writer(catalog_id, self._node))
        if await _stored(target, layout.writer(catalog_id)) != body:  # A full target takes not even the same again.
            await target.put(layout.writer(catalog_id), body)
            await keep_spare(target, catalog_id)
        await self._collections.adopt(name, await _condemned_by_others(target, catalog_id))
        self._enlisted.add(name)


async def keep_spare(target: Target, catalog_id: str) -> None:
    """Store what can be deleted to have room, unless it is there; without room for it there is none."""
    key = layout.spare(catalog_id)
    try:
        await target.head(key)
    except ObjectNotFound:
        try:
            # Random, so that no file system makes it smaller.
            await target.put(key, secrets.token_bytes(_SPARE_BYTES))
        except QuotaExceeded as error:
            _log.warning("%s: nothing is kept in reserve for when the target is full: %s", key, error)


async def _stored(target: Target, key: str) -> bytes | None:
    try:
        return await target.get(key)
    except ObjectNotFound:
        return None


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


async def forget_writer(target: Target, catalog_id: str) -> bool:
    """Remove what the daemons of another catalog, which are gone for good, have left about themselves.

    Tell whether there was anything.
    """
    announced = [info.key async for info in target.list(f"{layout.CONDEMNED}{catalog_id}/")]
    others = [layout.spare(catalog_id), layout.locked(catalog_id)]
    # Asked for by name, since a listing may miss what is there.
    is_known = bool(announced) or await exists(target, layout.writer(catalog_id))
    await target.delete_many([*others, *announced, layout.writer(catalog_id)])
    return is_known
