"""Volumes: what is backed up."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from backupd.application.fields import check_name
from backupd.application.paths import Paths
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.model import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVolume:
    """A request to register a volume; ``backup_type`` is a name or an id."""

    name: str
    path: str
    backup_type: str
    allow_live: bool = False
    direct_io: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes:
    """Registers, shows and removes volumes; their content is never touched."""

    catalog: Catalog
    clock: Clock
    paths: Paths

    async def add(self, project: str, new: NewVolume) -> Volume:
        """Return the volume that was registered. Raises InvalidRequest, NotFound, Conflict."""
        check_name("name", new.name)
        backup_type = await self.catalog.backup_type(new.backup_type)
        await self.paths.check_source(new.path)
        volume = Volume(
            id=str(uuid4()),
            project=project,
            name=new.name,
            path=new.path,
            backup_type_id=backup_type.id,
            created_at=self.clock.now(),
            allow_live=new.allow_live,
            direct_io=new.direct_io,
        )
        await self.catalog.add_volume(volume)
        return volume

    async def all(self, project: str) -> list[Volume]:
        """Return every volume of the project."""
        return await self.catalog.volumes(project)

    async def one(self, project: str, id_or_name: str) -> Volume:
        """Return one volume. Raises NotFound."""
        return await self.catalog.volume(project, id_or_name)

    async def remove(self, project: str, id_or_name: str) -> None:
        """Forget a volume. Raises NotFound, or Conflict while it has backups."""
        await self.catalog.delete_volume((await self.one(project, id_or_name)).id)
