"""Backups as Cinder has them: its checks in its order, on top of the backups of every other API."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from backupd.access import Access, Caller
from backupd.application.backups import Backups, NewBackup
from backupd.application.block_storage.quotas import Quotas
from backupd.application.block_storage.volumes import BlockVolumes
from backupd.application.paths import Paths
from backupd.block_storage import (
    BackupDetails,
    BackupStatus,
    BlockBackup,
    BlockVolume,
    Listing,
    Snapshot,
    SnapshotStatus,
    VolumeDetails,
    VolumeStatus,
    gib,
)
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.errors import Conflict, InvalidRequest, WrongStatus
from backupd.model import BackupMode, Job, JobKind, JobState

_HELD = "Invalid backup: The operator holds the backup back from deletion, or it is being deleted already."
_USABLE = (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE)
_CREATION = (JobKind.BACKUP, JobKind.IMPORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBlockBackup:
    """A request for a backup. ``container`` is noted down and chooses nothing."""

    volume_id: str
    name: str | None = None
    description: str | None = None
    container: str | None = None
    incremental: bool = False
    force: bool = False
    snapshot_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    availability_zone: str | None = None


@dataclass(frozen=True, slots=True)
class StartedRestore:
    """A restore that has begun, and the volume that it goes to, by its name of now."""

    backup_id: str
    volume_id: str
    volume_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockBackups:
    """Requests backups, restores and deletions, and shows what there is."""

    catalog: Catalog
    clock: Clock
    access: Access
    quotas: Quotas
    backups: Backups
    volumes: BlockVolumes
    paths: Paths
    wake: Callable[[], None]

    async def create(self, caller: Caller, new: NewBlockBackup) -> BlockBackup:
        """Return the backup in ``creating``. NotFound, InvalidRequest, QuotaExceeded."""
        self.access.require(caller, "backup:create")
        volume = await self.catalog.block_storage.volume(caller.scope, new.volume_id)
        snapshot = await self._snapshot(caller, volume, new)
        if snapshot is None:
            _check_volume(volume, is_forced=new.force)
        self.volumes.check_zone(new.availability_zone)
        size_bytes = (snapshot.size_bytes if snapshot else volume.details.size_bytes) or 0
        charges = await self.quotas.check(volume.project, {"backups": 1, "backup_gigabytes": gib(size_bytes)})
        await self._check_parent(volume, snapshot, is_incremental=new.incremental)
        details = BackupDetails(
            user_id=caller.user_id,
            name=new.name,
            description=new.description,
            container=new.container,
            availability_zone=new.availability_zone or self.volumes.availability_zone,
            metadata=dict(new.metadata),
            snapshot_id=new.snapshot_id,
            data_timestamp=snapshot.created_at if snapshot else None,
            size_bytes=size_bytes,
            volume_name=volume.details.name,
            volume_description=volume.details.description,
            volume_metadata=dict(volume.details.metadata),
        )
        request = NewBackup(volume=volume.id, mode=None if new.incremental else BackupMode.FULL)
        try:
            backup, _ = await self.backups.create(volume.project, request, details=details, charges=charges)
        except WrongStatus as error:
            raise _not_now(error.status) from error
        except Conflict as error:  # Its message is the operator's: it names paths and types.
            raise InvalidRequest("Invalid volume: Volume cannot be backed up now. Ask the operator.") from error
        return await self.catalog.block_storage.backup(volume.project, backup.id)

    async def all(
        self, caller: Caller, listing: Listing, *, all_projects: bool
    ) -> tuple[list[BlockBackup], int | None]:
        """Return a page of the caller's backups, or of everybody's to an administrator who asks for them."""
        self.access.require(caller, "backup:get_all")
        scope = None if all_projects and caller.is_admin else caller.project
        return await self.catalog.block_storage.backups(scope, listing)

    async def one(self, caller: Caller, backup_id: str) -> BlockBackup:
        """NotFound."""
        self.access.require(caller, "backup:get")
        return await self.catalog.block_storage.backup(caller.scope, backup_id)

    async def change(self, caller: Caller, backup_id: str, **values: Any) -> BlockBackup:
        """Change name, description or metadata. NotFound."""
        self.access.require(caller, "backup:update")
        backup = await self.one(caller, backup_id)
        if values:
            await self.catalog.block_storage.change_backup(backup.id, **values)
        return await self.one(caller, backup_id)

    async def delete(self, caller: Caller, backup_id: str) -> None:
        """Have a backup deleted, also one that others were made on top of: each is complete by itself."""
        self.access.require(caller, "backup:delete")
        backup = await self.one(caller, backup_id)
        if backup.status not in (BackupStatus.AVAILABLE, BackupStatus.ERROR):
            raise InvalidRequest("Invalid backup: Backup status must be available or error")
        try:
            await self.backups.delete(backup.project, backup.id)
        except Conflict as error:
            raise InvalidRequest(_HELD) from error

    async def force_delete(self, caller: Caller, backup_id: str) -> None:
        """Have a backup deleted whatever its state is; whatever works on it is cancelled first."""
        self.access.require(caller, "volume_extension:backup_admin_actions:force_delete")
        backup = await self.one(caller, backup_id)
        if backup.status is BackupStatus.DELETING and not backup.is_unfinished:
            return
        try:
            working = await self.catalog.block_storage.unwanted(backup.id)
        except Conflict as error:
            raise InvalidRequest(_HELD) from error
        await self._cancel(backup.project, working)
        with suppress(Conflict):  # Then what is cancelled has not ended yet, and the deletion follows its end.
            await self.backups.delete(backup.project, backup.id)

    async def reset(self, caller: Caller, backup_id: str, status: str) -> None:
        """Say that a backup is in error or available; what works on one that is to be in error is cancelled.

        InvalidRequest for a status that is neither, and for making available what was never published.
        """
        self.access.require(caller, "volume_extension:backup_admin_actions:reset_status")
        backup = await self.one(caller, backup_id)
        wanted = BackupStatus(status.lower())
        if wanted is BackupStatus.ERROR:
            kinds = (*_CREATION, JobKind.RESTORE)
            await self._cancel(backup.project, await self.catalog.block_storage.working(backup.id, kinds))
        elif backup.status is BackupStatus.AVAILABLE:
            return
        try:
            await self.catalog.block_storage.reset_backup(backup.id, wanted)
        except WrongStatus as error:
            if wanted is BackupStatus.AVAILABLE:
                raise InvalidRequest(
                    "Invalid backup: Backup was never completed, or its deletion has begun, and cannot be available."
                ) from error

    async def restore(
        self, caller: Caller, backup_id: str, *, volume_id: str | None, name: str | None
    ) -> StartedRestore:
        """Start a restore, to a new volume without ``volume_id``. NotFound, InvalidRequest, QuotaExceeded."""
        self.access.require(caller, "backup:restore")
        backup = await self._available(caller, backup_id)
        if volume_id is not None:
            volume = await self._restorable(caller, backup, volume_id)
            return await self._restore(backup, volume, is_renamed=False)
        details = VolumeDetails(
            user_id=caller.user_id,
            name=name or f"restore_backup_{backup.id}",
            description="auto-created_from_restore_from_backup",
            size_bytes=self._whole_size(backup),
            is_made=True,
            backup_id=backup.id,
        )
        volume = await self.volumes.make(backup.project, str(uuid4()), details)
        return await self._restore_to_new(backup, volume, is_renamed=name is None)

    async def create_volume(
        self, caller: Caller, backup_id: str, details: VolumeDetails, volume_type: str | None
    ) -> BlockVolume:
        """Make a volume and restore a backup to it. NotFound, InvalidRequest, QuotaExceeded."""
        self.access.require(caller, "volume:create")
        self.access.require(caller, "backup:restore")
        backup = await self._available(caller, backup_id)
        size_bytes = details.size_bytes or self._whole_size(backup)
        _check_size(VolumeDetails(size_bytes=size_bytes), backup)
        made = replace(details, user_id=caller.user_id, size_bytes=size_bytes, is_made=True, backup_id=backup.id)
        volume = await self.volumes.make(backup.project, str(uuid4()), made, volume_type=volume_type)
        await self._restore_to_new(backup, volume, is_renamed=False)
        return await self.catalog.block_storage.volume(volume.project, volume.id)

    async def _available(self, caller: Caller, backup_id: str) -> BlockBackup:
        backup = await self.one(caller, backup_id)
        if backup.status is not BackupStatus.AVAILABLE:
            raise InvalidRequest("Invalid backup: Backup status must be available")
        return backup

    def _whole_size(self, backup: BlockBackup) -> int:
        return backup.size_gib * 2**30

    async def _restorable(self, caller: Caller, backup: BlockBackup, volume_id: str) -> BlockVolume:
        volume = await self.catalog.block_storage.volume(caller.scope, volume_id)
        if volume.status is not VolumeStatus.AVAILABLE:
            raise InvalidRequest("Invalid volume: Volume to be restored to must be available")
        _check_size(volume.details, backup)
        if not volume.details.is_made:
            try:
                await self.paths.check_overwritable(volume.path or "")
            except InvalidRequest as error:
                raise InvalidRequest("Invalid volume: Volume is one that the operator lets nobody write to.") from error
        return volume

    async def _restore_to_new(self, backup: BlockBackup, volume: BlockVolume, *, is_renamed: bool) -> StartedRestore:
        try:
            return await self._restore(backup, volume, is_renamed=is_renamed)
        except InvalidRequest:  # Somebody else restores the backup, or deletes it.
            await self.volumes.finish_deletion(volume)
            raise

    async def _restore(self, backup: BlockBackup, volume: BlockVolume, *, is_renamed: bool) -> StartedRestore:
        job = Job(
            id=str(uuid4()),
            project=backup.project,
            kind=JobKind.RESTORE,
            backup_id=backup.id,
            state=JobState.QUEUED,
            created_at=self.clock.now(),
            request={"path": volume.path, "overwrite": True, "volume_id": volume.id, "is_renamed": is_renamed},
        )
        try:
            await self.catalog.block_storage.add_restore(job, volume.id)
        except WrongStatus as error:
            raise InvalidRequest(f"Invalid backup: Backup or volume is {error.status}; expected available.") from error
        self.wake()
        return StartedRestore(backup.id, volume.id, volume.details.name)

    async def _cancel(self, project: str, jobs: Collection[str]) -> None:
        for job_id in jobs:
            with suppress(Conflict):  # It has ended, or cannot be stopped any more.
                await self.catalog.request_cancel(project, job_id)
        self.wake()

    async def _snapshot(self, caller: Caller, volume: BlockVolume, new: NewBlockBackup) -> Snapshot | None:
        if new.snapshot_id is None:
            return None
        snapshot = await self.catalog.block_storage.snapshot(caller.scope, new.snapshot_id)
        if snapshot.volume_id != volume.id:
            raise InvalidRequest(
                f"Invalid volume: Volume {volume.id} does not match with snapshot.volume_id {snapshot.volume_id}."
            )
        if snapshot.status is not SnapshotStatus.AVAILABLE:
            raise InvalidRequest(
                "Invalid snapshot: Snapshot to be backed up must be available, but the current status is "
                f'"{snapshot.status}".'
            )
        return snapshot

    async def _check_parent(self, volume: BlockVolume, snapshot: Snapshot | None, *, is_incremental: bool) -> None:
        """Raise InvalidRequest when there is nothing to be incremental to.

        Whether what there is fits is no question: what does not is compared with, or all is stored anew.
        """
        before = snapshot.created_at if snapshot else None
        if is_incremental and not await self.catalog.block_storage.candidates(volume.project, volume.id, before=before):
            raise InvalidRequest("Invalid backup: No backups available to do an incremental backup.")


def _check_volume(volume: BlockVolume, *, is_forced: bool) -> None:
    if volume.status not in _USABLE:
        raise _not_now(volume.status)
    if volume.status is VolumeStatus.IN_USE and not is_forced:
        raise InvalidRequest("Invalid volume: Backing up an in-use volume must use the force flag.")


def _not_now(status: str) -> InvalidRequest:
    return InvalidRequest(
        f'Invalid volume: Volume to be backed up must be available or in-use, but the current status is "{status}".'
    )


def _check_size(volume: VolumeDetails, backup: BlockBackup) -> None:
    size_bytes, needed_bytes = volume.size_bytes or 0, backup.details.size_bytes or 0
    if size_bytes < needed_bytes:
        raise InvalidRequest(
            f"Invalid volume: volume size {-(-size_bytes // 2**30)} is too small to restore backup of size "
            f"{backup.size_gib}."
        )
