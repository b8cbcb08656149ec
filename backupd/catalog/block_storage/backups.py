"""Backups as block storage has them: what people call them, and a status that knows of restores."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, case, exists, func, insert, literal_column, or_, select, update

from backupd.block_storage import (
    GIB,
    BackupDetails,
    BackupStatus,
    BlockBackup,
    Charge,
    Listing,
    SnapshotStatus,
    VolumeStatus,
    gib,
)
from backupd.catalog import holds, rows
from backupd.catalog.block_storage import quotas, snapshots, volumes
from backupd.catalog.block_storage.paging import Listed
from backupd.catalog.block_storage.tables import block_backups, block_volumes
from backupd.catalog.tables import backups, jobs
from backupd.errors import WrongStatus
from backupd.model import UNFINISHED, Backup, BackupState, Job, JobKind
from backupd.states import BACKUP, BackupEvent

_children = backups.alias("children")
_HAS_DEPENDENTS = exists().where(_children.c.parent_id == backups.c.id, _children.c.state == BackupState.AVAILABLE)
_IS_RESTORED = exists().where(
    jobs.c.backup_id == backups.c.id,
    jobs.c.kind == JobKind.RESTORE,
    or_(*(jobs.c.state == state for state in UNFINISHED)),  # IN would be made anew each time.
)
_STATUS = case(
    (and_(backups.c.state == BackupState.AVAILABLE, _IS_RESTORED), BackupStatus.RESTORING),
    (and_(backups.c.state == BackupState.CREATING, block_backups.c.is_unwanted), BackupStatus.DELETING),
    else_=backups.c.state,
)
# Written out, because an index of only these rows is used only when the query says the same.
_IS_LIVE = backups.c.state != literal_column(f"'{BackupState.DELETED}'")
_DETAILS = tuple(column for column in block_backups.c if column.name not in ("backup_id", "is_unwanted", "updated_at"))
_DETAIL_NAMES = tuple(column.name for column in _DETAILS)
_SHOWN = (
    select(
        backups.c.id,
        backups.c.project,
        backups.c.volume_id,
        backups.c.parent_id,
        backups.c.created_at,
        backups.c.failure_code,
        backups.c.target,
        backups.c.is_encrypted,
        func.coalesce(backups.c.statistics["packs"].as_integer(), 0).label("object_count"),
        _STATUS.label("status"),
        (backups.c.state == BackupState.CREATING).label("is_unfinished"),
        _HAS_DEPENDENTS.label("has_dependents"),
        backups.c.finished_at,
        block_backups.c.updated_at,
        *_DETAILS,
    )
    .join(block_backups, block_backups.c.backup_id == backups.c.id)
    .where(_IS_LIVE)
)
_INSERT = insert(block_backups)
_SIZE = (
    select(backups.c.project, block_backups.c.size_bytes)
    .join(block_backups, block_backups.c.backup_id == backups.c.id)
    .where(backups.c.id == bindparam("wanted"))
)
_CHANGE = update(block_backups).where(block_backups.c.backup_id == bindparam("wanted"))
_VOLUME = select(block_volumes).where(block_volumes.c.volume_id == bindparam("wanted"))
_NAME = func.coalesce(block_backups.c.name, "")
_SORT = {
    "id": backups.c.id,
    "created_at": backups.c.created_at,
    "updated_at": func.coalesce(
        block_backups.c.updated_at, backups.c.finished_at, backups.c.created_at, type_=backups.c.created_at.type
    ),
    "display_name": _NAME,
    "status": _STATUS,
    "volume_id": backups.c.volume_id,
    "size": func.coalesce(block_backups.c.size_bytes, 0),
    "container": func.coalesce(block_backups.c.container, ""),
    "project_id": backups.c.project,
    "data_timestamp": func.coalesce(
        block_backups.c.data_timestamp, backups.c.created_at, type_=backups.c.created_at.type
    ),
}
_FILTERS = {
    "id": backups.c.id,
    "name": block_backups.c.name,
    "display_name": block_backups.c.name,
    "status": _STATUS,
    "volume_id": backups.c.volume_id,
    "project_id": backups.c.project,
    "user_id": block_backups.c.user_id,
    "snapshot_id": block_backups.c.snapshot_id,
    "parent_id": backups.c.parent_id,
    "container": block_backups.c.container,
    "availability_zone": block_backups.c.availability_zone,
    "size": (func.coalesce(block_backups.c.size_bytes, 0) + GIB - 1) // GIB,
}


_INDEXED = frozenset({"id", "name", "display_name", "volume_id", "snapshot_id", "parent_id"})
_LISTED = Listed("Backup", _SHOWN, backups.c.project, _SORT, _FILTERS, _INDEXED)


def add_details(
    connection: Connection, value: Backup, details: BackupDetails | None, charges: Collection[Charge]
) -> None:
    """Add what block storage has of a new backup; one of ``/v1`` has the same name and its volume's size."""
    if details is None:
        details = _of_volume(connection, value)
    elif details.snapshot_id is not None:
        snapshots.change(connection, details.snapshot_id, expected=(SnapshotStatus.AVAILABLE,), now=value.created_at)
    known = {one.resource: one for one in charges}
    unlimited = [Charge("backups", 1, -1), Charge("backup_gigabytes", gib(details.size_bytes), -1)]
    quotas.charge(connection, value.project, [known.get(one.resource, one) for one in unlimited])
    fields = asdict(details) | {"backup_id": value.id, "is_unwanted": False}
    connection.execute(_INSERT, fields)


def require_volume(connection: Connection, value: Backup, details: BackupDetails | None) -> None:
    """WrongStatus unless the volume can be backed up, as block storage sees it; a snapshot always can."""
    if details is not None and details.snapshot_id is None:
        volumes.locked(connection, value.volume_id, (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE))


def published(connection: Connection, backup_id: str, size_bytes: int) -> None:
    """Write down the size that was found, which is what counts from now on."""
    found = connection.execute(_SIZE, {"wanted": backup_id}).one()
    if found.size_bytes == size_bytes:
        return
    connection.execute(_CHANGE, {"wanted": backup_id, "size_bytes": size_bytes})
    quotas.release(connection, found.project, {"backup_gigabytes": gib(found.size_bytes) - gib(size_bytes)})


def deleted(connection: Connection, backup_id: str) -> None:
    """Give back to the project what the backup took."""
    found = one(connection, None, backup_id)
    quotas.release(connection, found.project, {"backups": 1, "backup_gigabytes": found.size_gib})


def one(connection: Connection, project: str | None, backup_id: str) -> BlockBackup:
    return _shown(_LISTED.one(connection, project, backup_id))


def listed(connection: Connection, project: str | None, listing: Listing) -> tuple[list[BlockBackup], int | None]:
    found, count = _LISTED.page(connection, project, listing)
    return [_shown(row) for row in found], count


def candidates(connection: Connection, project: str, volume_id: str, before: datetime | None) -> int:
    """Return how many backups there are that an incremental one could start from."""
    query = (
        select(func.count())
        .select_from(backups)
        .join(block_backups, block_backups.c.backup_id == backups.c.id)
        .where(backups.c.project == project, backups.c.volume_id == volume_id, backups.c.state == BackupState.AVAILABLE)
    )
    if before is not None:
        query = query.where(block_backups.c.data_timestamp < before)
    return connection.execute(query).scalar_one()


def change(connection: Connection, /, backup_id: str, now: datetime, **values: Any) -> None:
    connection.execute(_CHANGE, {"wanted": backup_id, "updated_at": now, **values})


def reset(connection: Connection, backup_id: str, status: BackupStatus, now: datetime) -> None:
    """Available -> error by an operator's word, or back: only what was published whole. WrongStatus."""
    event = BackupEvent.DISTRUSTED if status is BackupStatus.ERROR else BackupEvent.TRUSTED
    expected = BACKUP.before(event)
    mine = update(backups).where(
        backups.c.id == backup_id,
        backups.c.state.in_(expected),
        backups.c.size_bytes.is_not(None),
        backups.c.failure_code.is_(None),
    )
    if connection.execute(mine.values(state=BACKUP.after(expected[0], event))).rowcount == 0:
        raise WrongStatus("backup", backup_id, one(connection, None, backup_id).status)
    change(connection, backup_id, now)


def unwanted(connection: Connection, backup_id: str, now: datetime) -> list[str]:
    """Have a backup deleted as soon as nothing works on it, and return the jobs that do. Conflict: it is held."""
    holds.require_none(connection, backup_id)
    change(connection, backup_id, now, is_unwanted=True)
    query = select(jobs.c.id).where(
        jobs.c.backup_id == backup_id,
        jobs.c.kind != JobKind.REPLICATE,  # That is soon on another one, and the deletion waits for it.
        jobs.c.state.in_(UNFINISHED),
    )
    return list(connection.execute(query).scalars())


def working(connection: Connection, backup_id: str, kinds: Collection[JobKind]) -> list[str]:
    """Return the unfinished jobs of some kinds on a backup."""
    query = select(jobs.c.id).where(jobs.c.backup_id == backup_id, jobs.c.kind.in_(kinds), jobs.c.state.in_(UNFINISHED))
    return list(connection.execute(query).scalars())


def add_restore(connection: Connection, job: Job, volume_id: str, now: datetime) -> None:
    """Queue a restore to a volume that is available. WrongStatus of the volume or the backup."""
    expected = (VolumeStatus.AVAILABLE,)
    volumes.change(connection, volume_id, expected=expected, now=now, job_id=job.id)
    connection.execute(select(backups.c.id).where(backups.c.id == job.backup_id).with_for_update())
    backup = one(connection, None, job.of_backup)
    if backup.status is not BackupStatus.AVAILABLE:
        raise WrongStatus("backup", backup.id, backup.status)
    connection.execute(insert(jobs).values(is_publishing=False, **rows.from_job(job)))


def add_imported(
    connection: Connection, value: Backup, details: BackupDetails, job: Job, charges: Collection[Charge]
) -> None:
    """Add a backup that a record describes, and the job that looks for it. WrongStatus when there is one of that id."""
    found = connection.execute(select(backups.c.state).where(backups.c.id == value.id)).first()
    if found is not None and found.state != BackupState.DELETED:
        raise WrongStatus("backup", value.id, found.state)
    quotas.charge(connection, value.project, charges)
    own = asdict(details) | {"is_unwanted": False, "updated_at": None}
    if found is None:
        connection.execute(insert(backups).values(rows.from_backup(value)))
        connection.execute(insert(block_backups).values(backup_id=value.id, **own))
    else:
        connection.execute(update(backups).where(backups.c.id == value.id).values(rows.from_backup(value)))
        connection.execute(update(block_backups).where(block_backups.c.backup_id == value.id).values(own))
    connection.execute(insert(jobs).values(is_publishing=False, **rows.from_job(job)))


def _of_volume(connection: Connection, value: Backup) -> BackupDetails:
    volume = connection.execute(_VOLUME, {"wanted": value.volume_id}).first()
    return BackupDetails(
        name=value.name,
        data_timestamp=value.created_at,
        size_bytes=volume.size_bytes if volume else None,
        volume_name=volume.name if volume else None,
        volume_description=volume.description if volume else None,
        volume_metadata=volume.metadata if volume else {},
    )


def _shown(row: Row[Any]) -> BlockBackup:
    own, details = row[: -len(_DETAILS)], row[-len(_DETAILS) :]
    (
        backup_id,
        project,
        volume_id,
        parent_id,
        created_at,
        failure_code,
        target,
        is_encrypted,
        object_count,
        status,
        is_unfinished,
        has_dependents,
        *changed_at,
    ) = own
    return BlockBackup(
        id=backup_id,
        project=project,
        volume_id=volume_id,
        parent_id=parent_id,
        created_at=created_at,
        failure_code=failure_code,
        target=target,
        is_encrypted=is_encrypted,
        object_count=object_count,
        status=BackupStatus(status),
        is_unfinished=is_unfinished,
        has_dependents=has_dependents,
        updated_at=max(filter(None, changed_at), default=None),
        details=BackupDetails(**dict(zip(_DETAIL_NAMES, details, strict=True))),
    )
