"""The catalog's face: each method is one transaction, run in a thread so that the event loop never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import datetime
from typing import Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from backupd.block_storage import BackupDetails, Charge, VolumeDetails
from backupd.catalog import audits, backups, groups, holds, jobs, policy, published, schema
from backupd.catalog.block_storage.store import BlockStorageCatalog
from backupd.catalog.collections import Collections
from backupd.catalog.condition import Condition
from backupd.catalog.engine import ONLY_READS, READERS, engine_of
from backupd.catalog.holds import FailedDeletion
from backupd.clock import Clock
from backupd.errors import CatalogError
from backupd.model import (
    Attempt,
    Backup,
    BackupCopy,
    BackupResult,
    BackupType,
    Failure,
    Hold,
    Job,
    JobKind,
    JobState,
    Progress,
    TargetProbe,
    Tracking,
    Volume,
)
from chunker.extents import Extent

P = ParamSpec("P")
T = TypeVar("T")


class Catalog:
    """The only code that talks to the database. Its methods say what they raise.

    ``block_storage`` has those that only block storage asks for, ``condition`` is its part about verifications and
    damage.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._reading = engine.execution_options(**{ONLY_READS: True})
        self._clock = clock
        self.condition = Condition(self._run)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="catalog-reader")
        self.block_storage = BlockStorageCatalog(self._run, self._read, clock)
        self.collections = Collections(self._run)

    @classmethod
    async def open(cls, database: str | Engine, clock: Clock) -> Self:
        """Open the database, by its URL, and bring its schema up to date. CatalogError when that cannot be."""
        catalog = cls(engine_of(database) if isinstance(database, str) else database, clock)
        try:
            await catalog._run(schema.upgrade)
        except BaseException:
            await catalog.aclose()
            raise
        return catalog

    async def aclose(self) -> None:
        """Wait for the transactions that run, and release the database."""
        await self._in_thread(self._thread, self._readers.shutdown)
        await self._in_thread(self._thread, self._engine.dispose)
        self._thread.shutdown()

    async def add_backup_type(self, value: BackupType) -> None:
        """Conflict when the name is taken."""
        await self._run(policy.add_backup_type, value)

    async def backup_type(self, id_or_name: str) -> BackupType:
        """NotFound."""
        return await self._run(policy.backup_type, id_or_name)

    async def backup_types(self) -> list[BackupType]:
        """Return all, by name."""
        return await self._run(policy.list_backup_types)

    async def delete_backup_type(self, type_id: str) -> None:
        """NotFound; Conflict when a volume has it."""
        await self._run(policy.delete_backup_type, type_id)

    async def configure_backup_types(self, values: Sequence[BackupType]) -> None:
        """Make the configured types what ``values`` say. Conflict when the API has made another of the same name."""
        await self._run(policy.configure_backup_types, values)

    async def add_volume(self, value: Volume, details: VolumeDetails | None = None) -> None:
        """Conflict when the name is taken; NotFound when there is no such backup type."""
        await self._run(policy.add_volume, value, details)

    async def volume(self, project: str, id_or_name: str) -> Volume:
        """NotFound."""
        return await self._run(policy.volume, project, id_or_name)

    async def volumes(self, project: str) -> list[Volume]:
        """Return all of a project, by name."""
        return await self._run(policy.list_volumes, project)

    async def assign_backup_type(self, volume_id: str, type_id: str | None) -> None:
        """Give a volume another type, or None for its project's default. NotFound."""
        await self._run(policy.assign_backup_type, volume_id, type_id)

    async def delete_volume(self, volume_id: str) -> None:
        """NotFound; Conflict when it has backups that are not deleted."""
        await self._run(policy.delete_volume, volume_id)

    async def tracking(self, volume_id: str) -> Tracking:
        """Return what is known of the changed-block tracking of a volume."""
        return await self._run(audits.of_volume, volume_id)

    async def quarantine(
        self, volume_id: str, backup_id: str, *, job_id: str, fence: int, wrong: Sequence[Extent], reason: str
    ) -> list[str]:
        """Trust a volume's tracking no longer, and return the backups that are suspect now. LeaseLost."""
        now = self._clock.now()
        return await self._run(
            audits.quarantine, volume_id, backup_id, job_id=job_id, fence=fence, wrong=wrong, reason=reason, now=now
        )

    async def trust_tracking(self, volume_id: str) -> None:
        """Trust a volume's tracking again."""
        await self._run(audits.trust, volume_id)

    async def create_backup(
        self, value: Backup, job: Job, details: BackupDetails | None = None, charges: Collection[Charge] = ()
    ) -> None:
        """Add both. Conflict when the volume has a backup in creation, or the parent is not available.

        With ``details`` also WrongStatus of the volume or snapshot; QuotaExceeded.
        """
        await self._run(backups.create, value, job, details, charges)

    async def create_group(self, values: Sequence[tuple[Backup, Collection[Charge]]], job: Job) -> None:
        """Add several backups, or none, and the one job that makes them. As ``create_backup``."""
        await self._run(backups.create_group, values, job)

    async def backups_of(self, job: Job) -> list[Backup]:
        """Return all backups that a job is on, the one that it names last: that is published after the others."""
        return await self._run(groups.backups_of, job)

    async def taken_with(self, backup_id: str) -> list[str]:
        """Return the other backups of the same instant, which the same job has made."""
        return await self._run(groups.taken_with, backup_id)

    async def backup(self, project: str, backup_id: str) -> Backup:
        """NotFound."""
        return await self._run(backups.one, backup_id, project)

    async def backups(
        self, project: str, volume_id: str | None = None, *, include_deleted: bool = False
    ) -> list[Backup]:
        """Return the backups of a project or volume, newest first."""
        return await self._run(backups.all_of, project, volume_id, include_deleted=include_deleted)

    async def latest_available(
        self, volume_id: str, *, targets: tuple[str, ...], chunk_size_bytes: int, is_encrypted: bool
    ) -> Backup | None:
        """Return the newest backup that another one of this volume could be on top of."""
        return await self._run(
            backups.latest_available,
            volume_id,
            targets=targets,
            chunk_size_bytes=chunk_size_bytes,
            is_encrypted=is_encrypted,
        )

    async def publish_backup(
        self,
        backup_id: str,
        *,
        job_id: str,
        fence: int,
        result: BackupResult,
        lagging: Collection[str] = (),
        finished_at: datetime | None = None,
    ) -> None:
        """Creating -> available; ``lagging`` of its targets do not have all of it yet.

        ``finished_at`` is what its manifest says, so that a catalog that is rebuilt from that says the same.
        LeaseLost unless the job is held with that fence; Conflict.
        """
        await self._run(
            backups.publish,
            backup_id,
            job_id=job_id,
            fence=fence,
            result=result,
            lagging=lagging,
            now=finished_at or self._clock.now(),
        )

    async def copies(self, backup_id: str) -> list[BackupCopy]:
        """Return what each target has of a backup; nothing before it is published."""
        return await self._run(backups.copies_of, backup_id)

    async def holders(self, project: str, *, is_encrypted: bool) -> set[str]:
        """Return the targets that hold backups of a project."""
        return await self._run(backups.holders, project, is_encrypted=is_encrypted)

    async def lagging_copies(self) -> list[tuple[Backup, BackupCopy]]:
        """Return what targets still have to get, the oldest backup first."""
        return await self._run(backups.lagging_copies)

    async def copied_to(self, backup_id: str) -> list[str]:
        """Return the targets that a backup was to be copied to, whatever became of that."""
        return await self._run(backups.copied_to, backup_id)

    async def queue_copies(self, new_id: Callable[[], str], targets: Collection[str]) -> list[Job]:
        """Queue a job for each copy that lags on one of ``targets`` and has none; return those."""
        return await self._run(backups.queue_copies, new_id, targets, self._clock.now())

    async def turn_to(self, backup_id: str, *, job_id: str, fence: int) -> bool:
        """Let a job on many backups be on this one now: a deletion waits; False if one has begun. LeaseLost."""
        return await self._run(backups.turn_to, backup_id, job_id=job_id, fence=fence)

    async def complete_copy(self, backup_id: str, target: str, *, job_id: str, fence: int) -> None:
        """Write down that ``target`` has all of a backup. LeaseLost."""
        await self._run(backups.complete_copy, backup_id, target, job_id=job_id, fence=fence)

    async def add_published(
        self, volumes: Sequence[Volume], found: Sequence[Backup], copies: Sequence[BackupCopy]
    ) -> None:
        """Add what targets tell of published backups to a new catalog, all of it or nothing."""
        await self._run(published.add, volumes, found, copies)

    async def set_volume_source(self, volume_id: str, source: str) -> None:
        """Say where a volume is. NotFound."""
        await self._run(policy.set_volume_source, volume_id, source)

    async def store_probe(self, value: TargetProbe) -> None:
        """Keep the last probe of a target."""
        await self._run(policy.store_probe, value)

    async def probe(self, target: str) -> TargetProbe | None:
        """Return the last probe of a target."""
        return await self._run(policy.probe, target)

    async def hold_backup(self, value: Hold) -> None:
        """Keep a backup from being deleted. NotFound; Conflict when it is being deleted."""
        await self._run(holds.hold, value)

    async def release_backup(self, backup_id: str) -> None:
        """End the hold on a backup."""
        await self._run(holds.release, backup_id)

    async def holds(self, backup_ids: Collection[str] | None = None) -> dict[str, Hold]:
        """Return the holds on backups, or on some of them, by the id of the backup."""
        return await self._run(holds.of, backup_ids)

    async def failed_deletions(self) -> list[FailedDeletion]:
        """Return the backups whose last deletion failed because of a target."""
        return await self._run(holds.failed_deletions)

    async def begin_delete(self, backup_id: str, job: Job) -> None:
        """Available | error -> deleting. Conflict, also while somebody holds the backup.

        The job is not claimed before those have ended that use the backup, or another one that is made on top of it.
        """
        await self._run(backups.begin_delete, backup_id, job)

    async def keep_backup(self, backup_id: str, *, job_id: str, fence: int) -> None:
        """Make a backup that is being deleted what it was before. LeaseLost."""
        await self._run(backups.keep, backup_id, job_id=job_id, fence=fence)

    async def finish_delete(self, backup_id: str, *, job_id: str, fence: int) -> None:
        """Deleting -> deleted. LeaseLost; Conflict."""
        now = self._clock.now()
        await self._run(backups.finish_delete, backup_id, job_id=job_id, fence=fence, now=now)

    async def add_job(self, value: Job) -> None:
        """Queue a job. Conflict unless its backup, if it has one, is available."""
        await self._run(backups.add_job, value)

    async def job(self, project: str, job_id: str) -> Job:
        """NotFound."""
        return await self._run(jobs.one, job_id, project)

    async def shown_job(self, project: str, job_id: str) -> Job:
        """Return a job for people, as in a list: without a request that may be long. NotFound."""
        return await self._run(jobs.one, job_id, project, is_short=True)

    async def jobs(
        self,
        project: str,
        *,
        state: JobState | None = None,
        kind: JobKind | None = None,
        limit: int = 1000,
    ) -> list[Job]:
        """Return the newest jobs first, without their requests, which may be long."""
        return await self._run(jobs.all_of, project, state=state, kind=kind, limit=limit)

    async def job_counts(self) -> dict[tuple[JobKind, JobState], int]:
        """Return how many jobs of each kind are in each state, of all projects."""
        return await self._run(jobs.counts)

    async def attempts(self, job_id: str) -> list[Attempt]:
        """Return a job's attempts, the oldest first."""
        return await self._run(jobs.attempts_of, job_id)

    async def claim_job(self, owner: str, lease_s: float, *, kinds: Collection[JobKind] | None = None) -> Job | None:
        """Take the oldest job that is free, with a higher fence; None when there is none."""
        return await self._run(jobs.claim, owner, lease_s=lease_s, kinds=kinds, now=self._clock.now())

    async def release_leases(self, owner: str) -> int:
        """Let all leases of ``owner`` expire now: whoever held them has died."""
        return await self._run(jobs.release_leases, owner, self._clock.now())

    async def release_job(self, job_id: str, fence: int) -> None:
        """Give one job back, to be resumed at once by whoever claims it. LeaseLost."""
        await self._run(jobs.release, job_id, fence, self._clock.now())

    async def heartbeat(self, job_id: str, fence: int, lease_s: float, progress: Progress) -> JobState:
        """Renew the lease and return the state. LeaseLost."""
        now = self._clock.now()
        return await self._run(jobs.heartbeat, job_id, fence, lease_s=lease_s, progress=progress, now=now)

    async def begin_publish(self, job_id: str, fence: int) -> JobState:
        """Refuse cancellations from now on, unless one came before: then it is ``cancelling``. LeaseLost."""
        return await self._run(jobs.begin_publish, job_id, fence)

    async def finish_job(
        self, job_id: str, fence: int, state: JobState, failure: Failure | None, progress: Progress
    ) -> None:
        """End a job, and with it the backup that it was to make, unless that is published. LeaseLost."""
        now = self._clock.now()
        await self._run(jobs.finish, job_id, fence, state=state, failure=failure, progress=progress, now=now)

    async def request_cancel(self, project: str, job_id: str) -> JobState:
        """Queued -> cancelled, running -> cancelling; return which. NotFound; Conflict when it is too late."""
        return await self._run(jobs.request_cancel, project, job_id, self._clock.now())

    async def record_packs(self, job_id: str, pack_ids: Sequence[str]) -> None:
        """Remember that a job is about to upload packs, so that a later attempt looks for them."""
        await self._run(jobs.record_packs, job_id, pack_ids)

    async def packs(self, job_id: str) -> list[str]:
        """Return the packs that the attempts of a job meant to upload."""
        return await self._run(jobs.packs, job_id)

    async def _run(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._transaction(self._engine, self._thread, lambda connection: work(connection, *args, **kwargs))

    async def _read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what only reads, beside whoever writes: it sees every transaction that has ended."""
        return await self._transaction(
            self._reading, self._readers, lambda connection: work(connection, *args, **kwargs)
        )

    async def _transaction(self, engine: Engine, executor: Executor, work: Callable[[Connection], T]) -> T:
        def transaction() -> T:
            with engine.begin() as connection:
                return work(connection)

        try:
            return await self._in_thread(executor, transaction)
        except DBAPIError as error:
            raise CatalogError(f"the catalog {engine.url.database} cannot be used: {error.orig}") from error

    async def _in_thread(self, executor: Executor, work: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(executor, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])  # The transaction ends either way; who cancels may then rely on it.
            future.exception()  # Nobody waits for it any more; asking keeps asyncio from logging it.
            raise
