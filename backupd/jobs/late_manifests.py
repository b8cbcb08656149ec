"""Manifests of deleted backups: a worker that has lost its job, and does not know it yet, may store one late.

A backup that the catalog calls deleted stays so, and nobody can need it. One that the catalog does not know is another
daemon's, or of a catalog that was lost.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from backupd.catalog.collections import Collections
from backupd.repository import layout
from backupd.repository.repository import Repository
from targets.errors import PermissionDenied

_log = logging.getLogger(__name__)


async def kept_ids(repository: Repository, collections: Collections) -> list[str]:
    """Return the backups that have a manifest and are not deleted."""
    listed = [backup_id async for backup_id in repository.backup_ids()]
    deleted = await collections.deleted_among(listed)
    return [backup_id for backup_id in listed if backup_id not in deleted]


async def remove_late(repository: Repository, collections: Collections) -> None:
    """Remove the manifests of deleted backups; not where daemons of other catalogs write, which may know them."""
    for backup_id in sorted(await collections.deleted_among([one async for one in repository.backup_ids()])):
        with suppress(PermissionDenied):  # Locked: until it can be removed it is passed over.
            await repository.target.delete(layout.manifest(backup_id))
            _log.warning("%s came after its backup was deleted, and is removed", layout.manifest(backup_id))
