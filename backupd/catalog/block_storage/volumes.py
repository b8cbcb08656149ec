"""Volumes, snapshots and attachments of block storage; their status is what is stored and what jobs make of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from backupd.block_storage import (
    GIB,
    Attachment,
    BlockVolume,
    Charge,
    Listing,
    Snapshot,
    VolumeDetails,
    VolumeStatus,
    VolumeSummary,
)
from backupd.catalog import rows
from backupd.catalog.block_storage import quotas
from backupd.catalog.block_storage.paging import Listed
from backupd.catalog.block_storage.tables import block_attachments, block_backups, block_snapshots, block_volumes
from backupd.catalog.tables import backups, jobs, volumes
from backupd.errors import Conflict, WrongStatus
from backupd.model import UNFINISHED, BackupState, Job, JobKind, JobState, Volume

_IS_BACKED_UP = exists().where(
    backups.c.volume_id == volumes.c.id,
    backups.c.state == BackupState.CREATING,
    block_backups.c.backup_id == backups.c.id,
    block_backups.c.snapshot_id.is_(None),
)
_IS_RESTORE = jobs.c.kind == JobKind.RESTORE
_STATUS = case(
    (_IS_BACKED_UP, VolumeStatus.BACKING_UP),
    (and_(_IS_RESTORE, jobs.c.state.in_(UNFINISHED)), VolumeStatus.RESTORING),
    (and_(_IS_RESTORE, jobs.c.state == JobState.FAILED), VolumeStatus.ERROR_RESTORING),
    (and_(jobs.c.kind == JobKind.CLONE, jobs.c.state.in_(UNFINISHED)), VolumeStatus.CREATING),
    (jobs.c.state.in_((JobState.FAILED, JobState.CANCELLED)), VolumeStatus.ERROR),
    else_=block_volumes.c.status,
)
_SHOWN = (
    select(
        volumes.c.id,
        volumes.c.project,
        volumes.c.source,
        volumes.c.backup_type_id,
        volumes.c.created_at,
        *(column for column in block_volumes.c if column.name not in ("volume_id", "status")),
        _STATUS.label("shown_status"),
    )
    .join(block_volumes, block_volumes.c.volume_id == volumes.c.id)
    .outerjoin(jobs, jobs.c.id == block_volumes.c.job_id)
)
_NAME = func.coalesce(block_volumes.c.name, "")
_ATTACHED = (
    select(block_attachments)
    .where(block_attachments.c.volume_id.in_(bindparam("wanted", expanding=True)))
    .order_by(block_attachments.c.id)
)
_SORT = {
    "id": volumes.c.id,
    "created_at": volumes.c.created_at,
    "updated_at": func.coalesce(block_volumes.c.updated_at, volumes.c.created_at, type_=volumes.c.created_at.type),
    "name": _NAME,
    "display_name": _NAME,
    "status": _STATUS,
    "size": func.coalesce(block_volumes.c.size_bytes, 0),
}
_SIZE_GIB = (func.coalesce(block_volumes.c.size_bytes, 0) + GIB - 1) // GIB
_FILTERS: Mapping[str, ColumnElement[Any]] = {
    "id": volumes.c.id,
    "name": block_volumes.c.name,
    "display_name": block_volumes.c.name,
    "status": _STATUS,
    "project_id": volumes.c.project,
    "tenant_id": volumes.c.project,
    "user_id": block_volumes.c.user_id,
    "snapshot_id": block_volumes.c.snapshot_id,
    "source_volid": block_volumes.c.source_volume_id,
    "size": _SIZE_GIB,
    "bootable": case((block_volumes.c.is_bootable, "true"), else_="false"),
}


_LISTED = Listed(
    "Volume",
    _SHOWN,
    volumes.c.project,
    _SORT,
    _FILTERS,
    frozenset({"id", "name", "display_name"}),
    {"created_at": volumes.c.created_at, "updated_at": block_volumes.c.updated_at},
    block_volumes.c.metadata,
)


def add_details(connection: Connection, volume_id: str, details: VolumeDetails) -> None:
    connection.execute(insert(block_volumes).values(volume_id=volume_id, **_plain(details)))


def add(
    connection: Connection, volume: Volume, details: VolumeDetails, charges: Collection[Charge], job: Job | None
) -> None:
    """Add a volume of block storage, and what fills it."""
    quotas.charge(connection, volume.project, charges)
    connection.execute(insert(volumes).values(asdict(volume)))
    add_details(connection, volume.id, details)
    if job is not None:
        connection.execute(insert(jobs).values(is_publishing=False, **rows.from_job(job)))


def one(connection: Connection, project: str | None, volume_id: str) -> BlockVolume:
    return _volume(connection, [_LISTED.one(connection, project, volume_id)])[0]


def listed(connection: Connection, project: str | None, listing: Listing) -> tuple[list[BlockVolume], int | None]:
    found, count = _LISTED.page(connection, project, listing)
    return _volume(connection, found), count


def summary(connection: Connection, project: str | None) -> VolumeSummary:
    query = select(block_volumes.c.metadata, _SIZE_GIB.label("size_gib")).join(volumes)
    if project is not None:
        query = query.where(volumes.c.project == project)
    count, size_gib = 0, 0
    metadata: dict[str, set[str]] = {}
    for row in connection.execute(query):
        count, size_gib = count + 1, size_gib + row.size_gib
        for key, value in row.metadata.items():
            metadata.setdefault(key, set()).add(value)
    return VolumeSummary(count=count, size_gib=size_gib, metadata={key: sorted(metadata[key]) for key in metadata})


def change(
    connection: Connection,
    /,
    volume_id: str,
    *,
    expected: Collection[VolumeStatus] | None,
    now: datetime,
    **values: Any,
) -> BlockVolume:
    """Change what is stored of a volume in one of the ``expected`` statuses and return it as it was. WrongStatus.

    A value may be a function of the volume as it is.
    """
    volume = locked(connection, volume_id, expected)
    mine = update(block_volumes).where(block_volumes.c.volume_id == volume_id)
    connection.execute(mine.values(updated_at=now, **made_of(volume, values)))
    return volume


def extend(
    connection: Connection,
    seen: BlockVolume,
    size_bytes: int,
    *,
    expected: Collection[VolumeStatus],
    charges: Collection[Charge],
    now: datetime,
) -> None:
    """Make a volume larger that is still as it was ``seen``: the charges are for the difference. WrongStatus."""
    volume = change(connection, seen.id, expected=expected, now=now, size_bytes=size_bytes)
    if volume.details.size_bytes != seen.details.size_bytes:
        raise WrongStatus("volume", seen.id, "extending")
    quotas.charge(connection, volume.project, charges)


def begin_deletion(
    connection: Connection, volume_id: str, *, expected: Collection[VolumeStatus], now: datetime
) -> None:
    """Nothing is begun with the volume from now on. WrongStatus; Conflict when it has snapshots."""
    change(connection, volume_id, expected=expected, now=now, status=VolumeStatus.DELETING, job_id=None)
    of_it = select(block_snapshots.c.id).where(block_snapshots.c.volume_id == volume_id)
    if (found := connection.execute(of_it).first()) is not None:
        raise Conflict(f"volume {volume_id} has snapshot {found.id}")


def made_of(thing: BlockVolume | Snapshot, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to store of a thing as it is: values, or functions of the thing."""
    return {name: value(thing) if callable(value) else value for name, value in values.items()}


def locked(connection: Connection, volume_id: str, expected: Collection[VolumeStatus] | None) -> BlockVolume:
    """Hold the volume until the end of the transaction. NotFound; WrongStatus."""
    connection.execute(select(volumes.c.id).where(volumes.c.id == volume_id).with_for_update())
    volume = one(connection, None, volume_id)
    if expected is not None and volume.status not in expected:
        raise WrongStatus("volume", volume_id, volume.status)
    return volume


def remove(connection: Connection, volume_id: str, *, is_charged: bool) -> None:
    """Forget a volume, whether or not it has backups."""
    volume = one(connection, None, volume_id)
    connection.execute(delete(block_attachments).where(block_attachments.c.volume_id == volume_id))
    connection.execute(delete(block_volumes).where(block_volumes.c.volume_id == volume_id))
    connection.execute(delete(volumes).where(volumes.c.id == volume_id))
    if is_charged:
        quotas.release(connection, volume.project, {"volumes": 1, "gigabytes": volume.size_gib})


def unfinished_deletions(connection: Connection) -> list[str]:
    query = select(block_volumes.c.volume_id).where(block_volumes.c.status == VolumeStatus.DELETING)
    return list(connection.execute(query).scalars())


def known_sources(connection: Connection) -> dict[str, str]:
    return {row.source: row.id for row in connection.execute(select(volumes.c.source, volumes.c.id))}


def _volume(connection: Connection, found: Collection[Row[Any]]) -> list[BlockVolume]:
    ids = [row.id for row in found]
    used: dict[str, list[Attachment]] = {}
    for row in connection.execute(_ATTACHED, {"wanted": ids}) if ids else ():
        used.setdefault(row.volume_id, []).append(Attachment(**row._mapping))  # noqa: SLF001 - as above
    return [_shown(row, tuple(used.get(row.id, ()))) for row in found]


def _shown(row: Row[Any], attached: tuple[Attachment, ...]) -> BlockVolume:
    fields = dict(row._mapping)  # noqa: SLF001 - as above
    status = VolumeStatus(fields.pop("shown_status"))
    own = {name: fields.pop(name) for name in ("id", "project", "source", "backup_type_id", "created_at", "updated_at")}
    return BlockVolume(**own, status=status, details=VolumeDetails(status=status, **fields), attachments=attached)


def _plain(details: VolumeDetails) -> dict[str, Any]:
    fields = asdict(details)
    fields["metadata"] = dict(details.metadata)
    return fields
