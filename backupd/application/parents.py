"""Which earlier backup a new one starts from."""

from __future__ import annotations

from dataclasses import dataclass

from backupd.application.fields import invalid
from backupd.catalog.store import Catalog
from backupd.errors import Conflict
from backupd.model import Backup, BackupMode, BackupState, BackupType, Volume

# What a backup and its parent have in common.
_SHARED = ("target", "copies", "chunk_size_bytes", "is_encrypted")


@dataclass(frozen=True, slots=True)
class ParentChoice:
    """``parent`` None means a full backup; ``full_read_reason`` says why, when there are backups but none fits."""

    parent: Backup | None
    full_read_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parents:
    """Chooses the parent."""

    catalog: Catalog

    async def choose(
        self, volume: Volume, backup_type: BackupType, *, mode: BackupMode | None, parent: str | None
    ) -> ParentChoice:
        """Return the parent, or none for a full backup. Raises InvalidRequest, NotFound, Conflict."""
        if mode is BackupMode.FULL:
            if parent is not None:
                raise invalid("parent", parent, "none, because mode is full")
            return ParentChoice(None)
        if parent is not None:
            return ParentChoice(_usable(await self.catalog.backup(volume.project, parent), volume, backup_type))
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
        if latest is not None and mode is None and await self._is_damaged(latest):
            return ParentChoice(None, f"no parent: the latest backup {latest.id} is damaged")
        return ParentChoice(latest, None if latest else await self._reason(volume, backup_type))

    async def _is_damaged(self, backup: Backup) -> bool:
        """Tell whether what does not change may be damaged already, so that nobody should rely on it unread."""
        return bool(await self.catalog.condition.damages(backup.project, backup_id=backup.id, limit=1))

    async def _reason(self, volume: Volume, backup_type: BackupType) -> str | None:
        backups = await self.catalog.backups(volume.project, volume.id)
        latest = next((one for one in backups if one.state is BackupState.AVAILABLE), None)
        difference = None if latest is None else _difference(latest, backup_type)
        if latest is None or difference is None:
            return None
        field, theirs, ours = difference
        return f'no parent: backup type "{backup_type.name}" has {field} {ours}, the latest backup {latest.id} {theirs}'


def _usable(parent: Backup, volume: Volume, backup_type: BackupType) -> Backup:
    if parent.volume_id != volume.id:
        raise invalid("parent", parent.id, f'a backup of volume "{volume.name}"; this is one of another volume')
    if parent.state is not BackupState.AVAILABLE:
        raise Conflict(f"backup {parent.id} is {parent.state}; expected a parent that is available")
    if (difference := _difference(parent, backup_type)) is not None:
        field, theirs, ours = difference
        raise Conflict(
            f"backup {parent.id} has {field} {theirs}; expected a parent with {ours}, "
            f'as backup type "{backup_type.name}" has'
        )
    return parent


def _difference(backup: Backup, backup_type: BackupType) -> tuple[str, object, object] | None:
    """Return the first field that keeps a backup from being the parent: its name, the backup's value, the type's."""
    for field in _SHARED:
        theirs, ours = getattr(backup, field), getattr(backup_type, field)
        if theirs != ours:
            return field, _shown(theirs), _shown(ours)
    return None


def _shown(value: object) -> object:
    return (", ".join(value) or "none") if isinstance(value, tuple) else value
