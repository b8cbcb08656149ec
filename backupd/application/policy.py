"""Which backup type a volume, and a backup of it, has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from backupd.application.fields import invalid
from backupd.catalog.store import Catalog
from backupd.config import Config
from backupd.errors import Conflict
from backupd.model import BackupType, Volume


class TypeOrigin(StrEnum):
    """Who says that a volume has this type."""

    VOLUME = "volume"
    PROJECT = "project default"


@dataclass(frozen=True, slots=True)
class VolumeType:
    """The type that new backups of a volume have, and where it comes from."""

    backup_type: BackupType
    origin: TypeOrigin


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Finds types: the request's, if it may name one, else the volume's, else the project's default."""

    catalog: Catalog
    config: Config

    async def of_volumes(self, volumes: Sequence[Volume]) -> list[VolumeType | None]:
        """Return the type of each volume; None where neither it nor its project has one."""
        types = await self.catalog.backup_types()
        by_id = {one.id: one for one in types}
        by_name = {one.name: one for one in types}
        found: list[VolumeType | None] = []
        for volume in volumes:
            default = by_name.get(self.config.policy_of(volume.project).default_backup_type or "")
            own = by_id.get(volume.backup_type_id or "")
            if volume.backup_type_id is None:
                found.append(VolumeType(default, TypeOrigin.PROJECT) if default else None)
            else:  # The type may have been removed since the volume was looked up, and that have another one.
                found.append(VolumeType(own, TypeOrigin.VOLUME) if own else None)
        return found

    async def of_volume(self, volume: Volume) -> VolumeType | None:
        """Return the type of one volume."""
        return (await self.of_volumes([volume]))[0]

    async def of_backup(self, volume: Volume, requested: str | None) -> BackupType:
        """Return the type of a new backup. Raises NotFound, InvalidRequest, or Conflict when there is none."""
        own = await self.of_volume(volume)
        if requested is not None:
            return await self._requested(volume, own, requested)
        if own is None:
            raise Conflict(
                f'volume "{volume.name}" has no backup type, and its project has no default\n'
                f"HINT: backupctl volume set-type {volume.name} TYPE, or default_backup_type in [policy]"
            )
        return own.backup_type

    async def _requested(self, volume: Volume, own: VolumeType | None, requested: str) -> BackupType:
        backup_type = await self.catalog.backup_type(requested)
        allowed = self.config.policy_of(volume.project).request_backup_types
        if backup_type.name in allowed or (own is not None and backup_type.id == own.backup_type.id):
            return backup_type
        names = [*allowed] if own is None else sorted({*allowed, own.backup_type.name})
        expected = f"one of {', '.join(names)}" if names else "none"
        raise invalid(
            "backup_type", requested, f"{expected}, as request_backup_types of the configuration and the volume say"
        )
