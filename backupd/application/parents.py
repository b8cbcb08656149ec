"""Which earlier backup a new one starts from."""

from __future__ import annotations

from dataclasses import dataclass

from backupd.application.fields import invalid
from backupd.catalog.store import Catalog
from backupd.errors import Conflict
from backupd.model import Backup, BackupMode, BackupState, BackupType, Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Parents:
    """Chooses the parent; None means a full backup."""

    catalog: Catalog

    async def choose(
        self, volume: Volume, backup_type: BackupType, *, mode: BackupMode | None, parent: str | None
    ) -> Backup | None:
        """Return the parent, or None for a full backup. Raises InvalidRequest, NotFound, Conflict."""
        if mode is BackupMode.FULL:
            if parent is not None:
                raise invalid("parent", parent, "none, because mode is full")
            return None
        if parent is not None:
            return _usable(await self.catalog.backup(volume.project, parent), volume, backup_type)
        latest = await self.catalog.latest_available(
            volume.id,
            targets=backup_type.targets,
            chunk_size_bytes=backup_type.chunk_size_bytes,
            is_encrypted=backup_type.is_encrypted,
        )
        if latest is None and mode is BackupMode.INCREMENTAL:
            raise Conflict(
                f'volume "{volume.name}" has no available backup that an incremental one could start from: '
                f'none on target "{", ".join(backup_type.targets)}" with the chunk size and encryption of backup type '
                f'"{backup_type.name}"\nHINT: leave mode out to make a full backup when there is none'
            )
        return latest


def _usable(parent: Backup, volume: Volume, backup_type: BackupType) -> Backup:
    if parent.volume_id != volume.id:
        raise invalid("parent", parent.id, f'a backup of volume "{volume.name}"; this is one of another volume')
    if parent.state is not BackupState.AVAILABLE:
        raise Conflict(f"backup {parent.id} is {parent.state}; expected a parent that is available")
    for field in ("target", "copies", "chunk_size_bytes", "is_encrypted"):
        theirs, ours = _shown(getattr(parent, field)), _shown(getattr(backup_type, field))
        if theirs != ours:
            raise Conflict(
                f"backup {parent.id} has {field} {theirs}; expected a parent with {ours}, "
                f'as backup type "{backup_type.name}" has'
            )
    return parent


def _shown(value: object) -> object:
    return (", ".join(value) or "none") if isinstance(value, tuple) else value
