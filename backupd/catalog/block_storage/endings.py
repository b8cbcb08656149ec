"""What the end of a job means to block storage: a volume is there, a message is left, what is unwanted goes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from backupd.block_storage import Listing, Message, VolumeStatus
from backupd.catalog import holds, rows
from backupd.catalog.block_storage.paging import Listed
from backupd.catalog.block_storage.tables import block_backups, block_snapshots, block_volumes, messages
from backupd.catalog.tables import backups, jobs
from backupd.model import Failure, Job, JobKind, JobState
from backupd.states import BACKUP, BackupEvent

MESSAGE_LIFE = timedelta(days=30)
# Cinder's names of actions and the numbers of its list.
_EVENTS = {
    JobKind.BACKUP: ("VOLUME_BACKUP", "VOLUME_VOLUME_BACKUP_013"),
    JobKind.RESTORE: ("VOLUME_BACKUP", "VOLUME_VOLUME_BACKUP_014"),
    JobKind.DELETE: ("VOLUME_BACKUP", "VOLUME_VOLUME_BACKUP_015"),
    JobKind.IMPORT: ("VOLUME_BACKUP", "VOLUME_VOLUME_BACKUP_016"),
}
_CLONED = {
    "snapshot_id": ("VOLUME_SNAPSHOT", "VOLUME_VOLUME_SNAPSHOT_012"),
    "volume_id": ("VOLUME", "VOLUME_VOLUME_003"),
}
_DETAIL = "020"
_RESTORED_VOLUME = select(block_volumes).where(block_volumes.c.job_id == bindparam("wanted"))
_SETTLE_VOLUME = update(block_volumes).where(block_volumes.c.job_id == bindparam("wanted"))
_SETTLE_SNAPSHOT = update(block_snapshots).where(block_snapshots.c.job_id == bindparam("wanted"))
_EXPIRED = delete(messages).where(messages.c.expires_at <= bindparam("now"))
_INSERT_MESSAGE = insert(messages)
_UNWANTED = select(block_backups.c.backup_id).where(
    block_backups.c.backup_id == bindparam("wanted"), block_backups.c.is_unwanted
)


def ended(connection: Connection, job: Job, state: JobState, failure: Failure | None, now: datetime) -> None:
    """Write down what follows from the end of ``job``; part of the transaction that ends it."""
    if state is JobState.SUCCEEDED:
        _settle_volume(connection, job, now)
    elif state is JobState.FAILED and failure is not None:
        _leave_message(connection, job, failure, now)
    if job.backup_id is not None and job.kind is not JobKind.DELETE:
        _delete_unwanted(connection, job, now)


def _settle_volume(connection: Connection, job: Job, now: datetime) -> None:
    """A restored or cloned volume is what it is by itself from now on, and has what came with the backup."""
    mine = {"wanted": job.id}
    if job.kind is JobKind.RESTORE and job.backup_id is not None:
        found = connection.execute(_RESTORED_VOLUME, mine).first()
        source = connection.execute(select(block_backups).where(block_backups.c.backup_id == job.backup_id)).first()
        if found is None or source is None:
            return
        values = {
            "metadata": _restored_metadata(
                connection, job, found.volume_id, {**found.metadata, **source.volume_metadata}
            )
        }
        if job.request.get("is_renamed"):
            values |= {"name": source.volume_name, "description": source.volume_description}
        connection.execute(_SETTLE_VOLUME, mine | values)
    settled = {"job_id": None, "status": VolumeStatus.AVAILABLE, "updated_at": now}
    connection.execute(_SETTLE_VOLUME, mine | settled)
    connection.execute(_SETTLE_SNAPSHOT, mine | settled)


def _restored_metadata(connection: Connection, job: Job, volume_id: str, metadata: dict[str, str]) -> dict[str, str]:
    source_id = connection.execute(select(backups.c.volume_id).where(backups.c.id == job.backup_id)).scalar()
    return metadata if source_id == volume_id else metadata | {"src_backup_id": job.of_backup}


def _leave_message(connection: Connection, job: Job, failure: Failure, now: datetime) -> None:
    if job.kind in _EVENTS and job.backup_id is not None:
        (resource_type, event), resource_id = _EVENTS[job.kind], job.backup_id
    else:
        field = next((name for name in _CLONED if name in job.request), None)
        if job.kind is not JobKind.CLONE or field is None:
            return
        (resource_type, event), resource_id = _CLONED[field], job.request[field]
    # The code and not the message, which is the operator's: it names files and devices.
    leave_message(connection, job.project, (resource_type, resource_id), event, failure.code, now)


def leave_message(
    connection: Connection, project: str, resource: tuple[str, str], event: str, code: str, now: datetime
) -> None:
    """Tell a project what happened to a resource, which is a type and an id."""
    resource_type, resource_id = resource
    values = {
        "id": str(uuid4()),
        "project": project,
        "resource_type": resource_type,
        "resource_id": resource_id,
        "event_id": f"{event}_{_DETAIL}",
        "text": code,
        "created_at": now,
        "expires_at": now + MESSAGE_LIFE,
    }
    connection.execute(_EXPIRED, {"now": now})
    connection.execute(_INSERT_MESSAGE, values)


def _delete_unwanted(connection: Connection, job: Job, now: datetime) -> None:
    if connection.execute(_UNWANTED, {"wanted": job.backup_id}).first() is None or holds.of(
        connection, [job.of_backup]
    ):
        return
    expected = BACKUP.before(BackupEvent.DELETE_REQUESTED)
    mine = update(backups).where(backups.c.id == job.backup_id, backups.c.state.in_(expected))
    state = BACKUP.after(expected[0], BackupEvent.DELETE_REQUESTED)
    if connection.execute(mine.values(state=state)).rowcount:
        deletion = Job(str(uuid4()), job.project, JobKind.DELETE, job.backup_id, JobState.QUEUED, now)
        connection.execute(insert(jobs).values(is_publishing=False, **rows.from_job(deletion)))


_SHOWN = select(messages).where(messages.c.expires_at > bindparam("now", type_=messages.c.expires_at.type))
_FILTERS = {
    "id": messages.c.id,
    "event_id": messages.c.event_id,
    "resource_type": messages.c.resource_type,
    "resource_uuid": messages.c.resource_id,
}
_LISTED = Listed("Message", _SHOWN, messages.c.project, {**_FILTERS, "created_at": messages.c.created_at}, _FILTERS)


def listed_messages(
    connection: Connection, project: str | None, listing: Listing, now: datetime
) -> tuple[list[Message], int | None]:
    found, count = _LISTED.page(connection, project, listing, now=now)
    return [_message(row) for row in found], count


def one_message(connection: Connection, project: str | None, message_id: str, now: datetime) -> Message:
    return _message(_LISTED.one(connection, project, message_id, now=now))


def _message(row: Row[Any]) -> Message:
    return Message(**row._mapping)  # noqa: SLF001 - documented by SQLAlchemy; the underscore avoids clashes


def remove_message(connection: Connection, message_id: str) -> None:
    connection.execute(delete(messages).where(messages.c.id == message_id))
