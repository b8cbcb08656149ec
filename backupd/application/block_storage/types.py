"""Volume types: the backup types that a tenant may choose from, by name."""

from __future__ import annotations

from dataclasses import dataclass

from backupd.access import Access, Caller
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
    access: Access
    config: Config

    async def visible(self, caller: Caller) -> list[VolumeType]:
        """Return those of the caller's project, the default first. Forbidden."""
        self.access.require(caller, "volume_extension:types:get")
        return await self._of(caller.project)

    async def one(self, caller: Caller, id_or_name: str) -> VolumeType:
        """Forbidden, NotFound."""
        return _named(await self.visible(caller), id_or_name)

    async def _of(self, project: str) -> list[VolumeType]:
        policy = self.config.policy_of(project)
        known = {one.name: one for one in await self.catalog.backup_types()}
        names = dict.fromkeys([policy.default_backup_type, *policy.request_backup_types])
        found = [VolumeType(known[name].id, name) for name in names if name is not None and name in known]
        if policy.default_backup_type not in known:
            found.insert(0, VolumeType(DEFAULT_ID, DEFAULT))
        return found

    async def id_of(self, project: str, id_or_name: str | None) -> str | None:
        """Return the backup type that a volume is to have, None for the project's default. NotFound."""
        if id_or_name is None:
            return None
        found = _named(await self._of(project), id_or_name)
        return None if found.id == DEFAULT_ID else found.id

    async def names(self, project: str) -> dict[str | None, VolumeType]:
        """Return backup type id -> type, with the default under None; also types that may be chosen no longer."""
        shown: dict[str | None, VolumeType] = {one.id: _type(one) for one in await self.catalog.backup_types()}
        shown[None] = (await self._of(project))[0]
        return shown


def _named(types: list[VolumeType], id_or_name: str) -> VolumeType:
    for found in types:
        if id_or_name in (found.id, found.name):
            return found
    raise NotFound(f"Volume type {id_or_name} could not be found.")


def _type(value: BackupType) -> VolumeType:
    return VolumeType(value.id, value.name)
