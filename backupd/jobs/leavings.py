"""Leavings of writes that broke off, which no listing of objects shows: they go when nobody can be writing them.

A leaving that two collections have seen, and that no unfinished job may have begun, belongs to nobody: every job that
was claimed after the first of them began its writes later.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping

from backupd.catalog.store import Catalog
from backupd.model import RepositoryName
from backupd.repository import layout
from targets.base import Leaving, SweepsOrphans
from targets.errors import TargetError

_TIMEOUT_S = 300.0
_LISTED_MAX = 10_000  # The rest is for the next collections.
_log = logging.getLogger(__name__)


class Leavings:
    """``drivers`` has the targets whose writes leave anything; nobody repeats for them what fails."""

    def __init__(self, catalog: Catalog, drivers: Mapping[str, SweepsOrphans]) -> None:
        self._collections = catalog.collections
        self._drivers = drivers

    async def found(self, name: RepositoryName) -> list[Leaving]:
        """Return what there is, also what is being written now. Nothing when the target cannot tell."""
        driver, found = self._drivers.get(name.target), list[Leaving]()
        if driver is None:
            return found
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                async for leaving in driver.leavings(layout.prefix(name.project, is_encrypted=name.is_encrypted)):
                    found.append(leaving)
                    if len(found) >= _LISTED_MAX:
                        break
        except (TargetError, TimeoutError) as error:
            _log.warning("target %s: it cannot be told what writes have left there: %s", name.target, error)
        return found

    async def sweep(self, name: RepositoryName) -> int:
        """Remove what is nobody's and return how many leavings that is."""
        if name.target not in self._drivers:
            return 0
        found = {_digest(leaving): leaving for leaving in await self.found(name)}
        orphans = await self._collections.note_leavings(name, [*found])
        gone = [found[digest] for digest in sorted(orphans)]
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._drivers[name.target].remove_leavings(gone)
        except (TargetError, TimeoutError) as error:
            _log.warning("target %s: what writes have left there could not be removed: %s", name.target, error)
            return 0
        for leaving in gone:
            _log.info("%s: what a write has left is removed: %s %s", name.target, leaving.key, leaving.name)
        return len(gone)


def _digest(leaving: Leaving) -> str:
    return hashlib.sha256(f"{leaving.key}\0{leaving.name}".encode()).hexdigest()[:32]
