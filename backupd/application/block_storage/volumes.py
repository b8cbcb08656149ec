"""Volumes: sparse files that are made here, and what the operator lets this service manage."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from backupd.access import Access, Caller
from backupd.application.block_storage.files import Files
from backupd.application.block_storage.quotas import Quotas
from backupd.application.block_storage.types import VolumeTypes
from backupd.block_storage import (
    GIB,
    BlockVolume,
    Listing,
    Snapshot,
    SnapshotStatus,
    VolumeDetails,
    VolumeStatus,
    VolumeSummary,
    gib,
)
from backupd.catalog.block_storage.store import BlockStorageCatalog
from backupd.clock import Clock
from backupd.errors import Conflict, InvalidRequest, NotFound, WrongStatus
from backupd.model import Job, JobKind, JobState, Volume
from chunker.sources.address import Address

SIZE_GIB_MAX = 2**31 - 1
_DELETABLE = (
    VolumeStatus.AVAILABLE,
    VolumeStatus.ERROR,
    VolumeStatus.ERROR_RESTORING,
    VolumeStatus.ERROR_DELETING,
)
_USABLE = (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE)
_DELETABLE_BY_FORCE = tuple(one for one in VolumeStatus if one not in (VolumeStatus.BACKING_UP, VolumeStatus.RESTORING))
_HAS_SNAPSHOTS = (
    "Invalid volume: Volume status must be available or error or error_restoring or error_extending or "
    "error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a "
    "transfer, or be disassociated from snapshots after volume transfer."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBlockVolume:
    """A request for a volume; ``size_gib`` None is that of what it is made from."""

    size_gib: int | None = None
    name: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    volume_type: str | None = None
    availability_zone: str | None = None
    snapshot_id: str | None = None
    source_volume_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockVolumes:
    """Makes, shows, changes and removes volumes."""

    catalog: BlockStorageCatalog
    clock: Clock
    access: Access
    quotas: Quotas
    types: VolumeTypes
    files: Files
    availability_zone: str
    wake: Callable[[], None]

    async def create(self, caller: Caller, new: NewBlockVolume) -> BlockVolume:
        """Return the volume; a job fills it if it is made of something. QuotaExceeded, InvalidRequest, NotFound."""
        self.access.require(caller, "volume:create")
        self.check_zone(new.availability_zone)
        source = await self._source(caller, new)
        size_bytes = self._size_bytes(new, source)
        volume_id = str(uuid4())
        job = self._clone(caller, volume_id, source) if source else None
        details = VolumeDetails(
            user_id=caller.user_id,
            name=new.name,
            description=new.description,
            size_bytes=size_bytes,
            metadata=dict(new.metadata),
            is_made=True,
            snapshot_id=new.snapshot_id,
            source_volume_id=new.source_volume_id,
            job_id=job.id if job else None,
        )
        return await self.make(caller.project, volume_id, details, volume_type=new.volume_type, job=job)

    async def make(
        self,
        project: str,
        volume_id: str,
        details: VolumeDetails,
        *,
        volume_type: str | None = None,
        job: Job | None = None,
    ) -> BlockVolume:
        """Make the file and the row. QuotaExceeded, Unavailable; InvalidRequest for the type."""
        size_gib = gib(details.size_bytes)
        type_id = await self.types.id_of(project, volume_type)
        charges = await self.quotas.check(project, {"volumes": 1, "gigabytes": size_gib})
        path = self.files.volume(volume_id)
        await self.files.create(path, details.size_bytes or 0)
        volume = Volume(
            id=volume_id,
            project=project,
            name=volume_id,
            source=str(Address.of_path(str(path))),
            backup_type_id=type_id,
            created_at=self.clock.now(),
        )
        try:
            await self.catalog.add_volume(volume, details, charges, job)
        except BaseException:
            await self.files.remove(path)
            raise
        if job is not None:
            self.wake()
        return await self.catalog.volume(project, volume_id)

    async def all(
        self, caller: Caller, listing: Listing, *, all_projects: bool
    ) -> tuple[list[BlockVolume], int | None]:
        """Return a page of the caller's volumes, or of everybody's to an administrator who asks for them."""
        self.access.require(caller, "volume:get_all")
        scope = None if all_projects and caller.is_admin else caller.project
        return await self.catalog.volumes(scope, listing)

    async def summary(self, caller: Caller, *, all_projects: bool) -> VolumeSummary:
        """Return all volumes together, those of the caller or everybody's."""
        self.access.require(caller, "volume:get_all")
        return await self.catalog.volume_summary(None if all_projects and caller.is_admin else caller.project)

    async def one(self, caller: Caller, volume_id: str) -> BlockVolume:
        """NotFound."""
        self.access.require(caller, "volume:get")
        return await self.catalog.volume(caller.scope, volume_id)

    async def change(self, caller: Caller, volume_id: str, **values: Any) -> BlockVolume:
        """Change name, description or metadata. NotFound."""
        volume = await self.one(caller, volume_id)
        self.access.require(caller, "volume:update")
        await self.catalog.change_volume(volume.id, **values)
        return await self.one(caller, volume_id)

    async def add_metadata(self, caller: Caller, volume_id: str, added: Mapping[str, str]) -> BlockVolume:
        """Add to the metadata. NotFound."""
        return await self.change(caller, volume_id, metadata=lambda volume: {**volume.details.metadata, **added})

    async def remove_metadata(self, caller: Caller, volume_id: str, key: str) -> None:
        """Remove one item. NotFound, also when there is none."""

        def without(volume: BlockVolume) -> dict[str, str]:
            left = dict(volume.details.metadata)
            if left.pop(key, None) is None:
                raise NotFound(f"Volume {volume.id} has no metadata with key {key}.")
            return left

        await self.change(caller, volume_id, metadata=without)

    async def extend(self, caller: Caller, volume_id: str, size_gib: int, *, in_use: bool) -> None:
        """Make a volume larger, also one that is ``in_use`` if that says so. InvalidRequest; QuotaExceeded."""
        volume = await self.one(caller, volume_id)
        self.access.require(caller, "volume:extend")
        if size_gib <= volume.size_gib:
            raise InvalidRequest(
                "Invalid input received: New size for extend must be greater than current size. "
                f"(current: {volume.size_gib}, extended: {size_gib})."
            )
        if not volume.details.is_made or volume.path is None:
            raise InvalidRequest(f"Invalid volume: Volume {volume.id} is managed: only who manages it can extend it.")
        charges = await self.quotas.check(volume.project, {"gigabytes": size_gib - volume.size_gib})
        expected = _USABLE if in_use else (VolumeStatus.AVAILABLE,)
        try:
            await self.catalog.extend_volume(volume, size_gib * GIB, expected=expected, charges=charges)
        except WrongStatus as error:
            raise _not_in(volume, expected, error.status) from error
        await self.files.extend(Path(volume.path), size_gib * GIB)

    async def delete(self, caller: Caller, volume_id: str, *, is_forced: bool = False) -> None:
        """Remove a volume and its file; a managed device or image is only forgotten. Its backups stay."""
        volume = await self.deletable(caller, volume_id, is_forced=is_forced)
        expected = _DELETABLE_BY_FORCE if is_forced else _DELETABLE
        try:
            await self.catalog.begin_volume_deletion(volume.id, expected)
        except WrongStatus as error:
            raise _not_in(volume, expected, error.status) from error
        except Conflict as error:
            raise InvalidRequest(_HAS_SNAPSHOTS) from error
        await self.finish_deletion(volume)

    async def deletable(self, caller: Caller, volume_id: str, *, is_forced: bool) -> BlockVolume:
        """Return a volume that can be deleted, but for its snapshots. NotFound, Forbidden, InvalidRequest."""
        volume = await self.one(caller, volume_id)
        self.access.require(caller, "volume:force_delete" if is_forced else "volume:delete")
        if volume.attachments and not is_forced:
            raise InvalidRequest(f"Invalid volume: Volume {volume.id} is still attached, detach volume first.")
        expected = _DELETABLE_BY_FORCE if is_forced else _DELETABLE
        if volume.status not in expected:
            raise _not_in(volume, expected, volume.status)
        return volume

    async def finish_deletion(self, volume: BlockVolume) -> None:
        """Do the rest of a deletion that is written down."""
        if volume.details.is_made and volume.path is not None:
            await self.files.remove(Path(volume.path))
        await self.forget(volume)

    async def forget(self, volume: BlockVolume) -> None:
        """Remove a volume from the catalog only."""
        # One that was registered through /v1 is nobody's, and was never charged.
        await self.catalog.remove_volume(volume.id, is_charged=volume.details.user_id is not None)

    async def reset(self, caller: Caller, volume_id: str, status: str) -> None:
        """Say that a volume is in another status. InvalidRequest."""
        volume = await self.one(caller, volume_id)
        self.access.require(caller, "volume:reset_status")
        if status.lower() not in _DELETABLE_BY_FORCE:
            raise InvalidRequest(
                f"Invalid input for field/attribute status. Value: {status}. It must be one of "
                f"{', '.join(_DELETABLE_BY_FORCE)}."
            )
        await self.catalog.change_volume(volume.id, status=VolumeStatus(status.lower()), job_id=None)

    def check_zone(self, availability_zone: str | None) -> None:
        """Raise InvalidRequest unless the zone is the one that there is."""
        if availability_zone not in (None, "", self.availability_zone):
            raise InvalidRequest(f"Invalid input received: Availability zone '{availability_zone}' is invalid.")

    async def _source(self, caller: Caller, new: NewBlockVolume) -> BlockVolume | Snapshot | None:
        if new.snapshot_id is not None:
            snapshot = await self.catalog.snapshot(caller.scope, new.snapshot_id)
            if snapshot.status is not SnapshotStatus.AVAILABLE:
                raise InvalidRequest(
                    "Invalid snapshot: Originating snapshot status must be one of available values, "
                    f"not {snapshot.status}."
                )
            return snapshot
        if new.source_volume_id is not None:
            volume = await self.catalog.volume(caller.scope, new.source_volume_id)
            if volume.status not in _USABLE:
                raise InvalidRequest(
                    f"Invalid volume: Unable to create a volume from an errored source volume: {volume.id}."
                )
            if volume.path is None:
                raise InvalidRequest(f"Invalid volume: Volume {volume.id} is of a kind that is not copied here.")
            return volume
        return None

    def _size_bytes(self, new: NewBlockVolume, source: BlockVolume | Snapshot | None) -> int:
        least = 0
        if isinstance(source, Snapshot):
            least = source.size_bytes
        elif source is not None:
            least = source.details.size_bytes or 0
        if new.size_gib is None and source is not None:
            return least
        if new.size_gib is None or not 0 < new.size_gib <= SIZE_GIB_MAX:
            raise InvalidRequest(
                f"Invalid input for field/attribute size. Value: {new.size_gib}. "
                f"It must be an integer from 1 to {SIZE_GIB_MAX}."
            )
        if new.size_gib * GIB < least:
            raise InvalidRequest(
                f"Invalid input received: Volume size '{new.size_gib}'GB cannot be smaller than the size "
                f"{gib(least)}GB of what it is made from. They must be >= original size."
            )
        return new.size_gib * GIB

    def _clone(self, caller: Caller, volume_id: str, source: BlockVolume | Snapshot) -> Job:
        return Job(
            id=str(uuid4()),
            project=caller.project,
            kind=JobKind.CLONE,
            backup_id=None,
            state=JobState.QUEUED,
            created_at=self.clock.now(),
            request={"volume_id": volume_id, "from": source.path, "to": str(self.files.volume(volume_id))},
        )


def _not_in(volume: BlockVolume, expected: Collection[VolumeStatus], status: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid volume: Volume {volume.id} status must be {' or '.join(expected)}, but current status is: {status}."
    )
