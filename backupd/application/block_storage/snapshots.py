"""Snapshots: a volume as it was, as a reflink where the file system can, else as a copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from backupd.access import Access, Caller
from backupd.application.block_storage.files import Files
from backupd.application.block_storage.quotas import Quotas
from backupd.block_storage import Listing, Snapshot, SnapshotStatus, VolumeStatus
from backupd.catalog.block_storage.store import BlockStorageCatalog
from backupd.clock import Clock
from backupd.errors import InvalidRequest, WrongStatus
from backupd.model import Job, JobKind, JobState

_OF_A_VOLUME_MAX = 1000
_DELETABLE = (SnapshotStatus.AVAILABLE, SnapshotStatus.ERROR)
_USABLE = (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE, VolumeStatus.BACKING_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSnapshot:
    """A request for a snapshot; ``force``: also of a volume that is in use."""

    volume_id: str
    name: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshots:
    """Makes, shows, changes and removes snapshots."""

    catalog: BlockStorageCatalog
    clock: Clock
    access: Access
    quotas: Quotas
    files: Files
    wake: Callable[[], None]

    async def create(self, caller: Caller, new: NewSnapshot) -> Snapshot:
        """Return the snapshot in ``creating``. InvalidRequest, NotFound, QuotaExceeded."""
        self.access.require(caller, "volume:create_snapshot")
        volume = await self.catalog.volume(caller.scope, new.volume_id)
        if volume.status not in _USABLE or (volume.status is VolumeStatus.IN_USE and not new.force):
            raise InvalidRequest(
                f"Invalid volume: Volume {volume.id} status must be available, but current status is: {volume.status}."
            )
        if volume.path is None:
            raise InvalidRequest(f"Invalid volume: Volume {volume.id} is of a kind that has no snapshots here.")
        snapshot_id, now = str(uuid4()), self.clock.now()
        path = str(self.files.snapshot(snapshot_id))
        charges = await self.quotas.check(volume.project, {"snapshots": 1, "gigabytes": volume.size_gib})
        job = Job(
            id=str(uuid4()),
            project=volume.project,
            kind=JobKind.CLONE,
            backup_id=None,
            state=JobState.QUEUED,
            created_at=now,
            request={"snapshot_id": snapshot_id, "from": volume.path, "to": path},
        )
        snapshot = Snapshot(
            id=snapshot_id,
            project=volume.project,
            volume_id=volume.id,
            user_id=caller.user_id,
            name=new.name,
            description=new.description,
            size_bytes=volume.details.size_bytes or 0,
            path=path,
            metadata=dict(new.metadata),
            status=SnapshotStatus.CREATING,
            created_at=now,
            job_id=job.id,
        )
        try:
            await self.catalog.add_snapshot(snapshot, charges, job)
        except WrongStatus as error:
            raise InvalidRequest(f"Invalid volume: Volume {volume.id} is {error.status}.") from error
        self.wake()
        return snapshot

    async def all(self, caller: Caller, listing: Listing, *, all_projects: bool) -> tuple[list[Snapshot], int | None]:
        """Return a page of the caller's snapshots, or of everybody's to an administrator who asks for them."""
        self.access.require(caller, "volume:get_all_snapshots")
        scope = None if all_projects and caller.is_admin else caller.project
        return await self.catalog.snapshots(scope, listing)

    async def one(self, caller: Caller, snapshot_id: str) -> Snapshot:
        """NotFound."""
        self.access.require(caller, "volume:get_snapshot")
        return await self.catalog.snapshot(caller.scope, snapshot_id)

    async def change(self, caller: Caller, snapshot_id: str, **values: Any) -> Snapshot:
        """Change name, description or metadata. NotFound."""
        snapshot = await self.one(caller, snapshot_id)
        self.access.require(caller, "volume:update_snapshot")
        await self.catalog.change_snapshot(snapshot.id, **values)
        return await self.one(caller, snapshot_id)

    async def add_metadata(self, caller: Caller, snapshot_id: str, added: Mapping[str, str]) -> Snapshot:
        """Add to the metadata. NotFound."""
        return await self.change(caller, snapshot_id, metadata=lambda snapshot: {**snapshot.metadata, **added})

    async def reset(self, caller: Caller, snapshot_id: str, status: str) -> None:
        """Say that a snapshot is in another status. InvalidRequest."""
        snapshot = await self.one(caller, snapshot_id)
        self.access.require(caller, "volume:reset_status")
        if status.lower() not in _DELETABLE:
            raise InvalidRequest(
                f"Invalid input for field/attribute status. Value: {status}. Expected available or error."
            )
        await self.catalog.change_snapshot(snapshot.id, status=SnapshotStatus(status.lower()), job_id=None)

    async def delete(self, caller: Caller, snapshot_id: str) -> None:
        """Remove a snapshot and its file; backups of it stay. InvalidRequest."""
        snapshot = await self.one(caller, snapshot_id)
        self.access.require(caller, "volume:delete_snapshot")
        try:
            await self.catalog.change_snapshot(
                snapshot.id, expected=_DELETABLE, status=SnapshotStatus.DELETING, job_id=None
            )
        except WrongStatus as error:
            raise _not_deletable(error.status) from error
        await self.finish_deletion(snapshot)

    async def delete_of(self, caller: Caller, volume_id: str) -> None:
        """Remove every snapshot of a volume. InvalidRequest, and none is removed, when one cannot be."""
        found, _ = await self.catalog.snapshots(
            caller.scope, Listing(limit=_OF_A_VOLUME_MAX, filters={"volume_id": volume_id})
        )
        for snapshot in found:
            if snapshot.status not in _DELETABLE:
                raise _not_deletable(snapshot.status)
        for snapshot in found:
            await self.delete(caller, snapshot.id)

    async def refuse_unmanage(self, caller: Caller, snapshot_id: str) -> None:
        """Forbidden, NotFound, or InvalidRequest: each snapshot is a file of ours, so none is managed."""
        self.access.require(caller, "snapshot_extension:snapshot_unmanage")
        snapshot = await self.one(caller, snapshot_id)
        raise InvalidRequest(f"Invalid snapshot: Snapshot {snapshot.id} was made here and is not managed.")

    async def finish_deletion(self, snapshot: Snapshot) -> None:
        """Do the rest of a deletion that is written down."""
        await self.files.remove(Path(snapshot.path))
        await self.catalog.remove_snapshot(snapshot.id)


def _not_deletable(status: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid snapshot: Volume Snapshot status must be available or error, but it is {status}.")
