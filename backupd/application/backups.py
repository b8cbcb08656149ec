"""Backups: made and deleted by jobs, shown from the catalog."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from backupd.application.block_storage.quotas import Quotas
from backupd.application.changed_extents import parse_changed_extents
from backupd.application.fields import check_name, invalid
from backupd.application.parents import ParentChoice, Parents
from backupd.application.paths import Paths
from backupd.application.policy import Policy
from backupd.application.targets import Targets
from backupd.block_storage import BackupDetails, Charge
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.errors import Conflict, InvalidRequest, NotFound
from backupd.model import Backup, BackupMode, BackupState, BackupType, Hold, Job, JobKind, JobState, Volume

_REASON_LENGTH_MAX = 500
_GROUP_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBackup:
    """A request for a backup; without ``mode`` it is incremental when it can be.

    ``backup_type``, a name or an id, is this backup's only; without it it has the volume's.
    """

    volume: str
    mode: BackupMode | None = None
    name: str | None = None
    parent: str | None = None
    changed_extents: list[Any] | None = None
    backup_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGroup:
    """A request for backups of several volumes, such as the disks of one machine, all of one instant."""

    volumes: tuple[str, ...]
    mode: BackupMode | None = None
    name: str | None = None
    backup_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHold:
    """A request to keep a backup from being deleted, and why."""

    reason: str = "held by an operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backups:
    """Requests backups and their deletion, and shows them."""

    catalog: Catalog
    clock: Clock
    paths: Paths
    targets: Targets
    policy: Policy
    quotas: Quotas
    executor: Executor
    wake: Callable[[], None]

    async def create(
        self,
        project: str,
        new: NewBackup,
        *,
        details: BackupDetails | None = None,
        charges: Collection[Charge] | None = None,
    ) -> tuple[Backup, Job]:
        """Return the backup in ``creating`` and its job. Raises InvalidRequest, NotFound, Conflict, QuotaExceeded.

        ``details`` is what block storage has of it besides, if that asks; a snapshot named there is what is read.
        """
        volume = await self.catalog.volume(project, new.volume)
        snapshot_id = details.snapshot_id if details else None
        backup, parent = await self._planned(volume, new, is_snapshot=snapshot_id is not None)
        changed_extents = await self._changed_extents(new, parent)
        request = {"changed_extents": changed_extents}
        job = self._new_job(backup, JobKind.BACKUP, request | ({"snapshot_id": snapshot_id} if snapshot_id else {}))
        if details is not None and details.data_timestamp is None:
            details = replace(details, data_timestamp=backup.created_at)
        if charges is None:
            charges = await self._charges(volume)
        await self.catalog.create_backup(backup, job, details, charges)
        self.wake()
        return backup, job

    async def create_group(self, project: str, new: NewGroup) -> tuple[list[Backup], Job]:
        """Return the backups in ``creating``, in the order of the volumes, and the one job that makes all of them.

        Raises what ``create`` does, and InvalidRequest unless the volumes can be frozen at one instant.
        """
        if not 2 <= len(new.volumes) <= _GROUP_MAX:
            raise invalid("volumes", new.volumes, f"2 to {_GROUP_MAX} names or ids")
        volumes = [await self.catalog.volume(project, one) for one in new.volumes]
        await self.paths.check_group([volume.source for volume in volumes])
        values = []
        for volume in volumes:
            one = NewBackup(volume=volume.id, mode=new.mode, name=new.name, backup_type=new.backup_type)
            backup, _ = await self._planned(volume, one, is_snapshot=False)
            values.append((backup, await self._charges(volume)))
        backups = [backup for backup, _ in values]
        job = self._new_job(backups[0], JobKind.BACKUP, {})
        await self.catalog.create_group(values, job)
        self.wake()
        return backups, job

    async def taken_with(self, backup: Backup) -> list[str]:
        """Return the other backups of the same instant."""
        return await self.catalog.taken_with(backup.id)

    async def _planned(self, volume: Volume, new: NewBackup, *, is_snapshot: bool) -> tuple[Backup, Backup | None]:
        """Return the backup that a request asks for, and its parent."""
        if new.name is not None:
            check_name("name", new.name)
        backup_type = await self.policy.of_backup(volume, new.backup_type)
        for target in backup_type.targets:
            self.targets.check_still_there(target)
        parents = Parents(catalog=self.catalog)
        choice = await parents.choose(volume, backup_type, mode=new.mode, parent=new.parent)
        if not is_snapshot:
            await self._check_source(volume)
        return self._new_backup(new, volume=volume, backup_type=backup_type, choice=choice), choice.parent

    async def _charges(self, volume: Volume) -> Collection[Charge]:
        found = await self.catalog.block_storage.volume(volume.project, volume.id)
        return await self.quotas.charges(volume.project, {"backups": 1, "backup_gigabytes": found.size_gib})

    async def all(self, project: str, *, volume: str | None = None) -> list[Backup]:
        """Return the backups of the project, or of one volume. Raises NotFound for the volume."""
        volume_id = None if volume is None else (await self.catalog.volume(project, volume)).id
        return await self.catalog.backups(project, volume_id=volume_id)

    async def one(self, project: str, backup_id: str) -> Backup:
        """Return one backup. Raises NotFound."""
        return await self.catalog.backup(project, backup_id)

    async def hold(self, project: str, backup_id: str, new: NewHold) -> Hold:
        """Keep a backup from being deleted, by anybody. Raises InvalidRequest, NotFound, Conflict."""
        if not 1 <= len(new.reason) <= _REASON_LENGTH_MAX:
            raise invalid("reason", new.reason, f"1 to {_REASON_LENGTH_MAX} characters")
        backup = await self.one(project, backup_id)
        held = Hold(backup.id, new.reason, self.clock.now())
        await self.catalog.hold_backup(held)
        return held

    async def release(self, project: str, backup_id: str) -> None:
        """End the hold on a backup. Raises NotFound, also when there is none."""
        backup = await self.one(project, backup_id)
        if await self.held(backup) is None:
            raise NotFound(f"backup {backup_id} is not held")
        await self.catalog.release_backup(backup.id)

    async def held(self, backup: Backup) -> Hold | None:
        """Return the hold on a backup."""
        return (await self.catalog.holds([backup.id])).get(backup.id)

    async def delete(self, project: str, backup_id: str) -> Job:
        """Return the job that deletes a backup. Raises NotFound, or Conflict when it is held or not there yet.

        The job waits for those that use the backup, and for backups that are made on top of it.
        """
        backup = await self.one(project, backup_id)
        if not any(self.targets.is_known(target) for target in backup.targets):
            self.targets.check_still_there(backup.target)
        job = self._new_job(backup, JobKind.DELETE, {})
        await self.catalog.begin_delete(backup.id, job)
        self.wake()
        return job

    async def _changed_extents(self, new: NewBackup, parent: Backup | None) -> list[list[int]] | None:
        if new.changed_extents is None:
            return None
        if parent is None:
            raise invalid(
                "changed_extents",
                new.changed_extents,
                "none, because a full backup reads everything; only an incremental one takes them",
            )
        if new.parent is None:
            # The latest backup need not be the one that the caller means, and then changes would be lost.
            raise invalid("parent", None, "the backup that changed_extents are the changes since")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, parse_changed_extents, new.changed_extents)

    async def _check_source(self, volume: Volume) -> None:
        try:
            await self.paths.check_address(volume.source)
        except InvalidRequest as error:  # The request is fine; what it asks for cannot be done any more.
            raise Conflict(f'volume "{volume.name}" cannot be read: {error}') from error

    def _new_backup(self, new: NewBackup, *, volume: Volume, backup_type: BackupType, choice: ParentChoice) -> Backup:
        now, parent = self.clock.now(), choice.parent
        return Backup(
            id=str(uuid4()),
            project=volume.project,
            volume_id=volume.id,
            name=new.name or _name(now),
            mode=BackupMode.INCREMENTAL if parent else BackupMode.FULL,
            target=backup_type.target,
            chunk_size_bytes=backup_type.chunk_size_bytes,
            compression_level=backup_type.compression_level,
            is_encrypted=backup_type.is_encrypted,
            is_deduplicated=backup_type.is_deduplicated,
            state=BackupState.CREATING,
            created_at=now,
            parent_id=parent.id if parent else None,
            full_read_reason=choice.full_read_reason,
            copies=backup_type.copies,
            quorum=backup_type.quorum,
            bytes_per_s=backup_type.bytes_per_s,
            verify_bytes=backup_type.verify_bytes,
        )

    def _new_job(self, backup: Backup, kind: JobKind, request: dict[str, Any]) -> Job:
        return Job(
            id=str(uuid4()),
            project=backup.project,
            kind=kind,
            backup_id=backup.id,
            state=JobState.QUEUED,
            created_at=self.clock.now(),
            request=request,
        )


def _name(now: datetime) -> str:
    # To the millisecond: a second is enough for two small backups of one volume.
    return f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"
