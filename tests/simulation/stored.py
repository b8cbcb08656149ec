"""What is on the target of a run, as anybody with its keys sees it: past all faults, daemons and catalogs."""

from __future__ import annotations

from backupd.model import Backup
from backupd.repository import layout
from backupd.repository.manifest import Manifest
from backupd.repository.repository import open_repository
from targets.wrappers.prefix import Prefix
from tests.simulation.daemon import Shared


async def manifest(shared: Shared, backup: Backup) -> Manifest | None:
    """Return the manifest of a backup; None when there is none."""
    repository = await open_repository(
        Prefix(shared.stored, layout.prefix(backup.project, is_encrypted=backup.is_encrypted)),
        shared.keyring,
        is_encrypted=backup.is_encrypted,
        created_at="",
        create=False,
    )
    return await repository.manifest(backup.id)


async def manifest_ids(shared: Shared) -> set[str]:
    """Return the ids of the backups that have a manifest."""
    return {info.key.rpartition("/")[2] async for info in shared.stored.list("") if "/manifests/" in info.key}
