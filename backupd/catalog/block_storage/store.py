"""The catalog's face for block storage: each method is one transaction, as those of ``Catalog`` are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from backupd.block_storage import (
    Attachment,
    BackupDetails,
    BackupStatus,
    BlockBackup,
    BlockVolume,
    Charge,
    Listing,
    Message,
    Snapshot,
    SnapshotStatus,
    VolumeDetails,
    VolumeStatus,
    VolumeSummary,
)
from backupd.catalog.block_storage import attachments, backups, endings, quotas, snapshots, volumes
from backupd.catalog.run import Run
from backupd.clock import Clock
from backupd.model import Backup, Job, JobKind, Volume


class BlockStorageCatalog:
    """``project`` None is every project. Its methods say what they raise."""

    def __init__(self, run: Run, read: Run, clock: Clock) -> None:
        self._run = run
        self._read = read
        self._clock = clock

    async def add_volume(
        self, volume: Volume, details: VolumeDetails, charges: Collection[Charge], job: Job | None = None
    ) -> None:
        """Add a volume and the job that fills it. QuotaExceeded."""
        await self._run(volumes.add, volume, details, charges, job)

    async def volume(self, project: str | None, volume_id: str) -> BlockVolume:
        """NotFound."""
        return await self._read(volumes.one, project, volume_id)

    async def volumes(self, project: str | None, listing: Listing) -> tuple[list[BlockVolume], int | None]:
        """Return a page, and the count if it is asked for. InvalidRequest; NotFound for the marker."""
        return await self._read(volumes.listed, project, listing)

    async def volume_summary(self, project: str | None) -> VolumeSummary:
        """Return all volumes together."""
        return await self._read(volumes.summary, project)

    async def change_volume(
        self,
        volume_id: str,
        *,
        expected: Collection[VolumeStatus] | None = None,
        **values: Any,
    ) -> BlockVolume:
        """Change what is stored and return the volume as it was; a value may be a function of that.

        NotFound; WrongStatus.
        """
        return await self._run(volumes.change, volume_id, expected=expected, now=self._clock.now(), **values)

    async def extend_volume(
        self,
        seen: BlockVolume,
        size_bytes: int,
        *,
        expected: Collection[VolumeStatus],
        charges: Collection[Charge],
    ) -> None:
        """Make a volume larger that is as it was seen. WrongStatus; QuotaExceeded."""
        now = self._clock.now()
        await self._run(volumes.extend, seen, size_bytes, expected=expected, charges=charges, now=now)

    async def begin_volume_deletion(self, volume_id: str, expected: Collection[VolumeStatus]) -> None:
        """WrongStatus; Conflict when it has snapshots."""
        await self._run(volumes.begin_deletion, volume_id, expected=expected, now=self._clock.now())

    async def remove_volume(self, volume_id: str, *, is_charged: bool) -> None:
        """Forget a volume. NotFound."""
        await self._run(volumes.remove, volume_id, is_charged=is_charged)

    async def unfinished_deletions(self) -> tuple[list[str], list[str]]:
        """Return the volumes and the snapshots that were being deleted when the daemon died."""
        return (
            await self._read(volumes.unfinished_deletions),
            await self._read(snapshots.unfinished_deletions),
        )

    async def known_sources(self) -> dict[str, str]:
        """Return where the volumes of all projects are -> the volume's id."""
        return await self._read(volumes.known_sources)

    async def attach(self, value: Attachment, expected: Collection[VolumeStatus]) -> None:
        """Add an attachment and with it change the volume's status. WrongStatus."""
        await self._run(attachments.attach, value, expected=expected, now=self._clock.now())

    async def complete_attachment(self, attachment_id: str, **values: Any) -> Attachment:
        """Make a reserved volume one that is in use. NotFound."""
        return await self._run(attachments.complete, attachment_id, self._clock.now(), **values)

    async def detach(self, volume_id: str, attachment_id: str | None, expected: Collection[VolumeStatus]) -> None:
        """Remove one attachment, or all of them. WrongStatus."""
        await self._run(attachments.detach, volume_id, attachment_id, expected=expected, now=self._clock.now())

    async def attachment(self, project: str | None, attachment_id: str) -> Attachment:
        """NotFound."""
        return await self._read(attachments.one, project, attachment_id)

    async def attachments(self, project: str | None, listing: Listing) -> tuple[list[Attachment], int | None]:
        """Return a page, and the count if it is asked for. InvalidRequest; NotFound for the marker."""
        return await self._read(attachments.listed, project, listing)

    async def add_snapshot(self, value: Snapshot, charges: Collection[Charge], job: Job) -> None:
        """Add a snapshot and the job that makes it. WrongStatus; QuotaExceeded."""
        await self._run(snapshots.add, value, charges, job)

    async def snapshot(self, project: str | None, snapshot_id: str) -> Snapshot:
        """NotFound."""
        return await self._read(snapshots.one, project, snapshot_id)

    async def snapshots(self, project: str | None, listing: Listing) -> tuple[list[Snapshot], int | None]:
        """Return a page, and the count if it is asked for. InvalidRequest; NotFound for the marker."""
        return await self._read(snapshots.listed, project, listing)

    async def change_snapshot(
        self, snapshot_id: str, *, expected: Collection[SnapshotStatus] | None = None, **values: Any
    ) -> Snapshot:
        """Change what is stored and return the snapshot as it was; as ``change_volume``. NotFound; WrongStatus."""
        now = self._clock.now()
        return await self._run(snapshots.change, snapshot_id, expected=expected, now=now, **values)

    async def remove_snapshot(self, snapshot_id: str) -> None:
        """Forget a snapshot. NotFound."""
        await self._run(snapshots.remove, snapshot_id)

    async def backup(self, project: str | None, backup_id: str) -> BlockBackup:
        """NotFound."""
        return await self._read(backups.one, project, backup_id)

    async def backups(self, project: str | None, listing: Listing) -> tuple[list[BlockBackup], int | None]:
        """Return a page, and the count if it is asked for. InvalidRequest; NotFound for the marker."""
        return await self._read(backups.listed, project, listing)

    async def candidates(self, project: str, volume_id: str, *, before: datetime | None) -> int:
        """Return how many backups there are that an incremental one could start from."""
        return await self._read(backups.candidates, project, volume_id, before)

    async def change_backup(self, backup_id: str, **values: Any) -> None:
        """Change what people call it."""
        await self._run(backups.change, backup_id, self._clock.now(), **values)

    async def reset_backup(self, backup_id: str, status: BackupStatus) -> None:
        """Available -> error, or back. WrongStatus, also for what was never published."""
        await self._run(backups.reset, backup_id, status, self._clock.now())

    async def unwanted(self, backup_id: str) -> list[str]:
        """Have a backup deleted as soon as the jobs have ended that are returned. Conflict when it is held."""
        return await self._run(backups.unwanted, backup_id, self._clock.now())

    async def working(self, backup_id: str, kinds: Collection[JobKind]) -> list[str]:
        """Return the unfinished jobs of some kinds on a backup."""
        return await self._read(backups.working, backup_id, kinds)

    async def add_restore(self, job: Job, volume_id: str) -> None:
        """Queue a restore to a volume. WrongStatus of the volume or the backup."""
        await self._run(backups.add_restore, job, volume_id, self._clock.now())

    async def add_imported(self, value: Backup, details: BackupDetails, job: Job, charges: Collection[Charge]) -> None:
        """Add a backup that a record describes. WrongStatus when there is one; QuotaExceeded."""
        await self._run(backups.add_imported, value, details, job, charges)

    async def messages(self, project: str | None, listing: Listing) -> tuple[list[Message], int | None]:
        """Return a page of what went wrong. InvalidRequest; NotFound for the marker."""
        return await self._read(endings.listed_messages, project, listing, self._clock.now())

    async def message(self, project: str | None, message_id: str) -> Message:
        """NotFound."""
        return await self._read(endings.one_message, project, message_id, self._clock.now())

    async def remove_message(self, message_id: str) -> None:
        """Forget a message."""
        await self._run(endings.remove_message, message_id)

    async def quotas(self, project: str) -> tuple[dict[str, int], dict[str, int]]:
        """Return what an operator has set for a project, and what that has in use, by resource."""
        return await self._read(quotas.of, project)

    async def set_limits(self, project: str, values: Mapping[str, int]) -> None:
        """InvalidRequest when one is below what is in use."""
        await self._run(quotas.set_limits, project, values)

    async def clear_limits(self, project: str) -> None:
        """Let the defaults hold again."""
        await self._run(quotas.clear_limits, project)
