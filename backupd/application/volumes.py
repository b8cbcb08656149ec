"""Volumes: what is backed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from backupd.application.fields import check_name, invalid
from backupd.application.paths import Paths
from backupd.application.policy import Policy, VolumeType
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.errors import InvalidRequest
from backupd.model import Volume
from chunker.sources.address import Address, redacted


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVolume:
    """A request to register a volume, of a ``path`` or else of the address ``source``.

    ``backup_type`` is a name or an id, None is the project's default.
    """

    name: str
    path: str | None = None
    source: str | None = None
    backup_type: str | None = None
    allow_live: bool = False
    direct_io: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeChange:
    """A request for another backup type, by name or id; None is the project's default."""

    backup_type: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSource:
    """A request that says where a volume is now: at a ``path``, or else at the address ``source``."""

    path: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class VolumeDetail:
    """A volume and the type that its next backup has, None when there is none."""

    volume: Volume
    backup_type: VolumeType | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes:
    """Registers, shows, changes and removes volumes; their content is never touched."""

    catalog: Catalog
    clock: Clock
    paths: Paths
    policy: Policy

    async def add(self, project: str, new: NewVolume) -> Volume:
        """Return the volume that was registered. Raises InvalidRequest, NotFound, Conflict."""
        check_name("name", new.name)
        type_id = await self._type_id(new.backup_type)
        source = await self._source(new)
        volume = Volume(
            id=str(uuid4()),
            project=project,
            name=new.name,
            source=source,
            backup_type_id=type_id,
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

    async def details(self, volumes: Sequence[Volume]) -> list[VolumeDetail]:
        """Return each volume with its type."""
        types = await self.policy.of_volumes(volumes)
        return [VolumeDetail(volume, found) for volume, found in zip(volumes, types, strict=True)]

    async def change(self, project: str, id_or_name: str, change: VolumeChange) -> Volume:
        """Return the volume with its new type, which only new backups have. Raises NotFound."""
        volume = await self.one(project, id_or_name)
        await self.catalog.assign_backup_type(volume.id, await self._type_id(change.backup_type))
        return await self.one(project, volume.id)

    async def move(self, project: str, id_or_name: str, new: NewSource) -> Volume:
        """Return the volume with its new source. Its next backup reads all of it if the identity is another one.

        Raises InvalidRequest, NotFound.
        """
        volume = await self.one(project, id_or_name)
        await self.catalog.set_volume_source(volume.id, await self._source(new))
        return await self.one(project, volume.id)

    async def remove(self, project: str, id_or_name: str) -> None:
        """Forget a volume. Raises NotFound, or Conflict while it has backups."""
        await self.catalog.delete_volume((await self.one(project, id_or_name)).id)

    async def _source(self, new: NewVolume | NewSource) -> str:
        if new.path is not None:
            if new.source is not None:
                raise invalid("source", redacted(new.source), "none, because there is a path, which says the same")
            await self.paths.check_source(new.path)
            return str(Address.of_path(new.path))
        if new.source is None:
            raise InvalidRequest("source: missing; expected the address of the volume, or a path")
        return await self.paths.check_address(new.source)

    async def _type_id(self, id_or_name: str | None) -> str | None:
        return None if id_or_name is None else (await self.catalog.backup_type(id_or_name)).id
