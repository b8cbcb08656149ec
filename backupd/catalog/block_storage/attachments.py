"""Attachments of volumes, and what they make of a volume's status."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, case, delete, insert, select, update

from backupd.block_storage import Attachment, Listing, VolumeStatus
from backupd.catalog.block_storage.paging import Listed
from backupd.catalog.block_storage.tables import block_attachments
from backupd.catalog.block_storage.volumes import change
from backupd.errors import NotFound


def attach(connection: Connection, value: Attachment, *, expected: Collection[VolumeStatus], now: datetime) -> None:
    status = VolumeStatus.IN_USE if value.attached_at else VolumeStatus.RESERVED
    change(connection, value.volume_id, expected=expected, now=now, status=status)
    connection.execute(insert(block_attachments).values(asdict(value)))


def complete(connection: Connection, /, attachment_id: str, now: datetime, **values: Any) -> Attachment:
    attachment = one(connection, None, attachment_id)
    mine = update(block_attachments).where(block_attachments.c.id == attachment_id)
    connection.execute(mine.values(attached_at=attachment.attached_at or now, **values))
    change(connection, attachment.volume_id, expected=None, now=now, status=VolumeStatus.IN_USE)
    return one(connection, None, attachment_id)


def detach(
    connection: Connection,
    volume_id: str,
    attachment_id: str | None,
    *,
    expected: Collection[VolumeStatus],
    now: datetime,
) -> None:
    """Remove one attachment or all; without any the volume is available. WrongStatus."""
    mine = block_attachments.c.volume_id == volume_id
    gone = mine if attachment_id is None else and_(mine, block_attachments.c.id == attachment_id)
    connection.execute(delete(block_attachments).where(gone))
    left = connection.execute(select(block_attachments.c.attached_at).where(mine)).all()
    status = VolumeStatus.AVAILABLE
    if left:
        status = VolumeStatus.IN_USE if any(row.attached_at for row in left) else VolumeStatus.RESERVED
    change(connection, volume_id, expected=expected, now=now, status=status)


def one(connection: Connection, project: str | None, attachment_id: str) -> Attachment:
    query = select(block_attachments).where(block_attachments.c.id == attachment_id)
    if project is not None:
        query = query.where(block_attachments.c.project == project)
    found = connection.execute(query).first()
    if found is None:
        raise NotFound(f"Volume attachment could not be found with filter: attachment_id = {attachment_id}.")
    return Attachment(**found._mapping)  # noqa: SLF001 - documented by SQLAlchemy; the underscore avoids clashes


def listed(connection: Connection, project: str | None, listing: Listing) -> tuple[list[Attachment], int | None]:
    found, count = _LISTED.page(connection, project, listing)
    return [Attachment(**row._mapping) for row in found], count  # noqa: SLF001 - as above


_IS_ATTACHED = case((block_attachments.c.attached_at.is_(None), "reserved"), else_="attached")
_LISTED = Listed(
    "Volume attachment",
    select(block_attachments),
    block_attachments.c.project,
    {
        "id": block_attachments.c.id,
        "created_at": block_attachments.c.created_at,
        "volume_id": block_attachments.c.volume_id,
    },
    {
        "id": block_attachments.c.id,
        "volume_id": block_attachments.c.volume_id,
        "instance_id": block_attachments.c.instance_id,
        "attach_status": _IS_ATTACHED,
        "status": _IS_ATTACHED,
    },
    frozenset({"id", "volume_id"}),
)
