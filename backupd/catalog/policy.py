"""Backup types, volumes and what is known of targets. Each function is part of one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from sqlalchemy import Connection, and_, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from backupd.block_storage import VolumeDetails
from backupd.catalog import audits, rows
from backupd.catalog.block_storage.tables import block_snapshots, block_volumes
from backupd.catalog.block_storage.volumes import add_details
from backupd.catalog.tables import backup_types, backups, probes, volumes
from backupd.errors import Conflict, no_such
from backupd.model import BackupState, BackupType, TargetProbe, Volume

# An id is looked for first, should somebody have named one by the id of another.
_TYPE = (
    select(backup_types)
    .where(or_(backup_types.c.id == bindparam("wanted"), backup_types.c.name == bindparam("wanted")))
    .order_by(backup_types.c.id != bindparam("wanted"))
)
_TYPES = select(backup_types).order_by(backup_types.c.name)
_VOLUME = (
    select(volumes)
    .where(
        volumes.c.project == bindparam("project"),
        or_(volumes.c.id == bindparam("wanted"), volumes.c.name == bindparam("wanted")),
    )
    .order_by(volumes.c.id != bindparam("wanted"))
)
_VOLUMES = select(volumes).where(volumes.c.project == bindparam("project")).order_by(volumes.c.name)


def add_backup_type(connection: Connection, value: BackupType) -> None:
    try:
        connection.execute(insert(backup_types).values(asdict(value)))
    except IntegrityError:
        raise Conflict(f"name {value.name!r}: there is a backup type of that name") from None


def backup_type(connection: Connection, id_or_name: str) -> BackupType:
    found = connection.execute(_TYPE, {"wanted": id_or_name}).first()
    if found is None:
        raise no_such("backup type", id_or_name)
    return rows.backup_type(found)


def list_backup_types(connection: Connection) -> list[BackupType]:
    return [rows.backup_type(row) for row in connection.execute(_TYPES)]


def delete_backup_type(connection: Connection, type_id: str) -> None:
    user = connection.execute(select(volumes.c.name).where(volumes.c.backup_type_id == type_id)).first()
    if user is not None:
        raise Conflict(f"the backup type is in use by volume {user.name!r}")
    if connection.execute(delete(backup_types).where(backup_types.c.id == type_id)).rowcount == 0:
        raise no_such("backup type", type_id)


def configure_backup_types(connection: Connection, values: Sequence[BackupType]) -> None:
    """Make the types of the configuration what it says now; one that it has no more becomes the API's.

    A type keeps its id. Conflict when the API has made one of the same name that says something else.
    """
    known = {one.name: one for one in list_backup_types(connection)}
    for value in values:
        if (old := known.get(value.name)) is None:
            add_backup_type(connection, value)
        elif not old.is_configured and not old.says_the_same(value):
            raise Conflict(f"name {value.name!r}: there is a backup type of that name, made through the API")
        else:
            changed = asdict(replace(value, id=old.id, created_at=old.created_at))
            connection.execute(update(backup_types).where(backup_types.c.id == old.id).values(changed))
    gone = and_(backup_types.c.is_configured, backup_types.c.name.not_in([value.name for value in values]))
    connection.execute(update(backup_types).where(gone).values(is_configured=False))


def add_volume(connection: Connection, value: Volume, details: VolumeDetails | None = None) -> None:
    known = connection.execute(
        select(volumes.c.id).where(volumes.c.project == value.project, volumes.c.name == value.name)
    ).first()
    if known is not None:
        raise Conflict(f"name {value.name!r}: there is a volume of that name")
    try:
        connection.execute(insert(volumes).values(asdict(value)))
    except IntegrityError:
        raise no_such("backup type", value.backup_type_id) from None
    add_details(connection, value.id, details or VolumeDetails(name=value.name))


def volume(connection: Connection, project: str, id_or_name: str) -> Volume:
    found = connection.execute(_VOLUME, {"project": project, "wanted": id_or_name}).first()
    if found is None:
        raise no_such("volume", id_or_name)
    return rows.volume(found)


def list_volumes(connection: Connection, project: str) -> list[Volume]:
    return [rows.volume(row) for row in connection.execute(_VOLUMES, {"project": project})]


def assign_backup_type(connection: Connection, volume_id: str, type_id: str | None) -> None:
    changed = update(volumes).where(volumes.c.id == volume_id).values(backup_type_id=type_id)
    try:
        found = connection.execute(changed).rowcount
    except IntegrityError:
        raise no_such("backup type", type_id) from None
    if not found:
        raise no_such("volume", volume_id)


def set_volume_source(connection: Connection, volume_id: str, source: str) -> None:
    changed = update(volumes).where(volumes.c.id == volume_id).values(source=source)
    if connection.execute(changed).rowcount == 0:
        raise no_such("volume", volume_id)


def delete_volume(connection: Connection, volume_id: str) -> None:
    kept = select(backups.c.id).where(backups.c.volume_id == volume_id, backups.c.state != BackupState.DELETED)
    found = connection.execute(kept).first()
    if found is not None:
        raise Conflict(f"the volume still has backup {found.id}; delete its backups first")
    audits.forget(connection, volume_id)
    snapshot = connection.execute(select(block_snapshots.c.id).where(block_snapshots.c.volume_id == volume_id)).first()
    if snapshot is not None:
        raise Conflict(f"the volume still has snapshot {snapshot.id}; delete its snapshots first")
    connection.execute(delete(block_volumes).where(block_volumes.c.volume_id == volume_id))
    if connection.execute(delete(volumes).where(volumes.c.id == volume_id)).rowcount == 0:
        raise no_such("volume", volume_id)


def store_probe(connection: Connection, value: TargetProbe) -> None:
    connection.execute(delete(probes).where(probes.c.target == value.target))
    connection.execute(insert(probes).values(asdict(value)))


def probe(connection: Connection, target: str) -> TargetProbe | None:
    found = connection.execute(select(probes).where(probes.c.target == target)).first()
    return rows.probe(found) if found is not None else None
