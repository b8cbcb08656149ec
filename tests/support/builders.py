"""Model values with sensible defaults, and the few steps that bring a catalog to where a test begins."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from backupd.catalog.store import Catalog
from backupd.model import (
    Backup,
    BackupMode,
    BackupResult,
    BackupState,
    BackupType,
    Job,
    JobKind,
    JobState,
    Progress,
    Statistics,
    Volume,
)

PROJECT = "default"
START = datetime(2026, 1, 1, tzinfo=UTC)
RESULT = BackupResult(4096, None, None, Statistics(read_bytes=4096, new_bytes=4096, packs=1, duration_s=1.5))
LEASE_S = 30.0


def make_backup_type(**fields: Any) -> BackupType:
    """Return a backup type with a name of its own."""
    type_id = _new_id()
    default = BackupType(id=type_id, name=f"type-{type_id[:8]}", target="local", created_at=START)
    return replace(default, **fields)


def make_volume(backup_type: BackupType, **fields: Any) -> Volume:
    """Return a volume with a name of its own."""
    volume_id = _new_id()
    default = Volume(
        id=volume_id,
        project=PROJECT,
        name=f"volume-{volume_id[:8]}",
        source=f"file:///srv/images/{volume_id}.img",
        backup_type_id=backup_type.id,
        created_at=START,
    )
    return replace(default, **fields)


def make_backup(volume: Volume, **fields: Any) -> Backup:
    """Return a backup in ``creating``."""
    default = Backup(
        id=_new_id(),
        project=volume.project,
        volume_id=volume.id,
        name="nightly",
        mode=BackupMode.FULL,
        target="local",
        chunk_size_bytes=262144,
        compression_level=3,
        is_encrypted=True,
        is_deduplicated=True,
        state=BackupState.CREATING,
        created_at=START,
    )
    return replace(default, **fields)


def make_job(backup: Backup, kind: JobKind = JobKind.VERIFY, **fields: Any) -> Job:
    """Return a queued job."""
    default = Job(
        id=_new_id(),
        project=backup.project,
        kind=kind,
        backup_id=backup.id,
        state=JobState.QUEUED,
        created_at=backup.created_at,
    )
    return replace(default, **fields)


async def add_volume(catalog: Catalog, **fields: Any) -> Volume:
    """Add a volume and its backup type."""
    backup_type = make_backup_type()
    await catalog.add_backup_type(backup_type)
    volume = make_volume(backup_type, **fields)
    await catalog.add_volume(volume)
    return volume


async def add_creating(catalog: Catalog, volume: Volume | None = None, **fields: Any) -> Job:
    """Add a backup that is being created, of a new volume if none is given; return its queued job."""
    backup = make_backup(volume or await add_volume(catalog), **fields)
    job = make_job(backup, JobKind.BACKUP)
    await catalog.create_backup(backup, job)
    return job


async def add_available(catalog: Catalog, volume: Volume | None = None, **fields: Any) -> Backup:
    """Add a backup that is published. Nothing else may be queued."""
    job = await claim(catalog, await add_creating(catalog, volume, **fields))
    await publish(catalog, job)
    await finish(catalog, job, JobState.SUCCEEDED)
    return await catalog.backup(job.project, job.of_backup)


async def add_queued(catalog: Catalog, backup: Backup, **fields: Any) -> Job:
    """Add a job that verifies a backup."""
    job = make_job(backup, **fields)
    await catalog.add_job(job)
    return job


async def claim(catalog: Catalog, job: Job | None = None, owner: str = "node-a") -> Job:
    """Claim the oldest job, which must be ``job`` if one is given."""
    claimed = await catalog.claim_job(owner, LEASE_S)
    assert claimed is not None
    assert job is None or claimed.id == job.id
    return claimed


async def publish(catalog: Catalog, job: Job) -> None:
    """Publish the backup of a claimed job."""
    await catalog.publish_backup(job.of_backup, job_id=job.id, fence=job.fence, result=RESULT)


async def finish(catalog: Catalog, job: Job, state: JobState) -> None:
    """End a claimed job."""
    await catalog.finish_job(job.id, job.fence, state, None, Progress(4096, 4096))


async def state_of(catalog: Catalog, job: Job) -> tuple[JobState, BackupState]:
    """Return the states of a job and of its backup."""
    backup = await catalog.backup(job.project, job.of_backup)
    return (await catalog.job(job.project, job.id)).state, backup.state


def _new_id() -> str:
    return str(uuid4())
