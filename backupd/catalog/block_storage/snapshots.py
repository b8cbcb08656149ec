"""Snapshots of block storage; their status is what is stored and what jobs make of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, delete, exists, func, insert, select, update

from backupd.block_storage import Charge, Listing, Snapshot, SnapshotStatus, VolumeStatus, gib
from backupd.catalog import rows
from backupd.catalog.block_storage import quotas
from backupd.catalog.block_storage.paging import Listed
from backupd.catalog.block_storage.tables import block_backups, block_snapshots
from backupd.catalog.block_storage.volumes import locked, made_of
from backupd.catalog.tables import backups, jobs
from backupd.errors import WrongStatus
from backupd.model import BackupState, Job, JobState

_UNFINISHED = tuple(state for state in JobState if not state.is_final)
_IS_READ = exists().where(
    block_backups.c.snapshot_id == block_snapshots.c.id,
    block_backups.c.backup_id == backups.c.id,
    backups.c.state == BackupState.CREATING,
)
_STATUS = case(
    (_IS_READ, SnapshotStatus.BACKING_UP),
    (jobs.c.state.in_(_UNFINISHED), SnapshotStatus.CREATING),
    (jobs.c.state.in_((JobState.FAILED, JobState.CANCELLED)), SnapshotStatus.ERROR),
    else_=block_snapshots.c.status,
)
_SHOWN = select(
    *(column for column in block_snapshots.c if column.name != "status"), _STATUS.label("status")
).outerjoin(jobs, jobs.c.id == block_snapshots.c.job_id)
_NAME = func.coalesce(block_snapshots.c.name, "")
_SORT = {
    "id": block_snapshots.c.id,
    "created_at": block_snapshots.c.created_at,
    "name": _NAME,
    "display_name": _NAME,
    "status": _STATUS,
    "volume_id": block_snapshots.c.volume_id,
}
_FILTERS = {
    **_SORT,
    "project_id": block_snapshots.c.project,
    "tenant_id": block_snapshots.c.project,
}


_LISTED = Listed(
    "Snapshot",
    _SHOWN,
    block_snapshots.c.project,
    _SORT,
    _FILTERS,
    frozenset({"id", "volume_id"}),
    metadata=block_snapshots.c.metadata,
)


def add(connection: Connection, value: Snapshot, charges: Collection[Charge], job: Job) -> None:
    """Add a snapshot of a volume that is there, and the job that makes it."""
    locked(connection, value.volume_id, (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE, VolumeStatus.BACKING_UP))
    quotas.charge(connection, value.project, charges)
    connection.execute(insert(block_snapshots).values(asdict(value)))
    connection.execute(insert(jobs).values(is_publishing=False, **rows.from_job(job)))


def one(connection: Connection, project: str | None, snapshot_id: str) -> Snapshot:
    return _snapshot(_LISTED.one(connection, project, snapshot_id))


def listed(connection: Connection, project: str | None, listing: Listing) -> tuple[list[Snapshot], int | None]:
    found, count = _LISTED.page(connection, project, listing)
    return [_snapshot(row) for row in found], count


def change(
    connection: Connection,
    /,
    snapshot_id: str,
    *,
    expected: Collection[SnapshotStatus] | None,
    now: datetime,
    **values: Any,
) -> Snapshot:
    connection.execute(select(block_snapshots.c.id).where(block_snapshots.c.id == snapshot_id).with_for_update())
    snapshot = one(connection, None, snapshot_id)
    if expected is not None and snapshot.status not in expected:
        raise WrongStatus("snapshot", snapshot_id, snapshot.status)
    mine = update(block_snapshots).where(block_snapshots.c.id == snapshot_id)
    connection.execute(mine.values(updated_at=now, **made_of(snapshot, values)))
    return snapshot


def remove(connection: Connection, snapshot_id: str) -> None:
    snapshot = one(connection, None, snapshot_id)
    connection.execute(delete(block_snapshots).where(block_snapshots.c.id == snapshot_id))
    quotas.release(connection, snapshot.project, {"snapshots": 1, "gigabytes": gib(snapshot.size_bytes)})


def unfinished_deletions(connection: Connection) -> list[str]:
    query = select(block_snapshots.c.id).where(block_snapshots.c.status == SnapshotStatus.DELETING)
    return list(connection.execute(query).scalars())


def _snapshot(row: Row[Any]) -> Snapshot:
    fields = dict(row._mapping)  # noqa: SLF001 - as above
    fields["status"] = SnapshotStatus(fields["status"])
    return Snapshot(**fields)
