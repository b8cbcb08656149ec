"""Volume types: the backup types that a tenant may choose from, by name."""

from __future__ import annotations

from dataclasses import dataclass

from backupd.catalog.store import Catalog
from backupd.config import Config
from backupd.errors import NotFound
from backupd.model import BackupType

DEFAULT = "__DEFAULT__"
DEFAULT_ID = "00000000-0000-4000-8000-000000000001"


@dataclass(frozen=True, slots=True)
class VolumeType:
    """One type; that of a project without a default is only a name."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeTypes:
    """Shows the types of a project: its default, and those that a request may name."""

    catalog: Catalog
    config: Config

    async def all(self, project: str) -> list[VolumeType]:
        """Return them, the default first."""
        policy = self.config.policy_of(project)
        known = {one.name: one for one in await self.catalog.backup_types()}
        names = dict.fromkeys([policy.default_backup_type, *policy.request_backup_types])
        found = [VolumeType(known[name].id, name) for name in names if name is not None and name in known]
        if policy.default_backup_type not in known:
            found.insert(0, VolumeType(DEFAULT_ID, DEFAULT))
        return found

    async def one(self, project: str, id_or_name: str) -> VolumeType:
        """NotFound."""
        for found in await self.all(project):
            if id_or_name in (found.id, found.name):
                return found
        raise NotFound(f"Volume type {id_or_name} could not be found.")

    async def default(self, project: str) -> VolumeType:
        """Return what volumes without a type have."""
        return (await self.all(project))[0]

    async def id_of(self, project: str, id_or_name: str | None) -> str | None:
        """Return the backup type that a volume is to have, None for the project's default. NotFound."""
        if id_or_name is None:
            return None
        found = await self.one(project, id_or_name)
        return None if found.id == DEFAULT_ID else found.id

    async def names(self, project: str) -> dict[str | None, VolumeType]:
        """Return backup type id -> type, with the default under None; also types that may be chosen no longer."""
        shown: dict[str | None, VolumeType] = {one.id: _type(one) for one in await self.catalog.backup_types()}
        shown[None] = await self.default(project)
        return shown


def _type(value: BackupType) -> VolumeType:
    return VolumeType(value.id, value.name)
