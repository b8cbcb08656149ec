"""Managed volumes: devices and images that are there already and that the configuration allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from uuid import uuid4

from backupd.access import Access, Caller
from backupd.application.block_storage.discovery import Discovery
from backupd.application.block_storage.files import Files
from backupd.application.block_storage.quotas import Quotas
from backupd.application.block_storage.types import VolumeTypes
from backupd.application.block_storage.volumes import BlockVolumes
from backupd.application.paths import Paths
from backupd.block_storage import BlockVolume, Listing, VolumeDetails, VolumeStatus, gib
from backupd.catalog.block_storage.store import BlockStorageCatalog
from backupd.clock import Clock
from backupd.errors import InvalidRequest
from backupd.model import Volume
from chunker.sources.address import Address
from chunker.sources.open import Sources

_SORT_KEYS: Mapping[str, Callable[[Manageable], Any]] = {
    "reference": lambda one: one.reference,
    "size": lambda one: one.size_bytes,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewManaged:
    """A request to manage what is at ``reference``."""

    reference: str
    name: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    volume_type: str | None = None
    is_bootable: bool = False


@dataclass(frozen=True, slots=True)
class Manageable:
    """Something that could be managed, or is: then ``volume_id`` is whose it is."""

    reference: str
    size_bytes: int
    volume_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """Finds, takes over and lets go; only for administrators, who see paths."""

    catalog: BlockStorageCatalog
    clock: Clock
    access: Access
    quotas: Quotas
    types: VolumeTypes
    paths: Paths
    files: Files
    volumes: BlockVolumes
    sources: Sources
    discovery: Discovery

    async def manage(self, caller: Caller, new: NewManaged) -> BlockVolume:
        """Return the volume. Forbidden, InvalidRequest, QuotaExceeded."""
        self.access.require(caller, "volume_extension:volume_manage")
        source = await self.paths.check_address(new.reference)
        if source in await self.catalog.known_sources():
            raise InvalidRequest(f"Unable to manage existing volume. Volume {new.reference} already managed.")
        size_bytes = await self._size_bytes(source)
        if not size_bytes:
            raise InvalidRequest(f"Invalid volume: what is at {new.reference} has no size.")
        volume_id = str(uuid4())
        details = VolumeDetails(
            user_id=caller.user_id,
            name=new.name,
            description=new.description,
            size_bytes=size_bytes,
            metadata=dict(new.metadata),
            is_bootable=new.is_bootable,
        )
        volume = Volume(
            id=volume_id,
            project=caller.project,
            name=volume_id,
            source=source,
            backup_type_id=await self.types.id_of(caller.project, new.volume_type),
            created_at=self.clock.now(),
        )
        charges = await self.quotas.check(caller.project, {"volumes": 1, "gigabytes": gib(size_bytes)})
        await self.catalog.add_volume(volume, details, charges)
        return await self.catalog.volume(caller.project, volume_id)

    async def unmanage(self, caller: Caller, volume_id: str) -> None:
        """Forget a volume and leave what it is of as it is. Forbidden, NotFound, InvalidRequest."""
        self.access.require(caller, "volume_extension:volume_unmanage")
        volume = await self.catalog.volume(caller.scope, volume_id)
        if volume.status is not VolumeStatus.AVAILABLE or volume.details.is_made:
            raise InvalidRequest(f"Invalid volume: Volume {volume.id} must be available and one that is managed.")
        await self.volumes.forget(volume)

    async def manageable(self, caller: Caller, listing: Listing) -> list[Manageable]:
        """Return a page of what is there, managed or not; its marker is a reference. Forbidden, InvalidRequest."""
        self.access.require(caller, "volume_extension:volume_manage")
        if unknown := [key for key, _ in listing.sort if key not in _SORT_KEYS]:
            raise InvalidRequest(f"Invalid sort keys passed: {', '.join(unknown)[:200]}")
        found = await self.discovery.all()
        known = await self.catalog.known_sources()
        everything = [
            Manageable(one.source, one.size_bytes, known.get(str(Address.parse(one.source)))) for one in found
        ]
        return _page(everything, listing)

    def manageable_snapshots(self, caller: Caller) -> tuple[()]:
        """Return that there are none: what snapshots others make of volumes is theirs. Forbidden."""
        self.access.require(caller, "snapshot_extension:snapshot_manage")
        return ()

    def manage_snapshot(self, caller: Caller) -> NoReturn:
        """Forbidden; InvalidRequest, as there is none."""
        self.access.require(caller, "snapshot_extension:snapshot_manage")
        raise InvalidRequest("Invalid input received: There is no snapshot that could be managed here.")

    async def _size_bytes(self, source: str) -> int | None:
        address = Address.parse(source)
        if address.kind == "file":
            return await self.files.size_bytes(address.path)
        return await self.files.measured(lambda: _measured(self.sources, source))


def _measured(sources: Sources, source: str) -> int:
    point = sources.open(source, allow_live=True).open()
    try:
        size_bytes = point.size_bytes
        point.rollback()  # What was frozen for this is of no use any more.
        return size_bytes
    finally:
        point.close()


def _page(found: list[Manageable], listing: Listing) -> list[Manageable]:
    for key, is_descending in reversed(listing.sort):
        found.sort(key=_SORT_KEYS[key], reverse=is_descending)
    start = listing.offset
    if listing.marker is not None:
        seen = next((place for place, one in enumerate(found) if one.reference == listing.marker), None)
        if seen is None:
            raise InvalidRequest(f"Invalid input received: marker not found: {listing.marker[:200]}")
        start += seen + 1
    return found[start : start + listing.limit]
