"""Audits of changed-block tracking. Each function is part of one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, update

from backupd.catalog.audit_tables import audited_ranges, tracking
from backupd.catalog.block_storage.endings import leave_message
from backupd.catalog.jobs import require_fence
from backupd.catalog.tables import backups, volumes
from backupd.model import Audit, BackupMode, BackupState, Tracking
from chunker.extents import Extent, merge, subtract

TRACKING_WRONG = "VOLUME_BACKUP_TRACKING_001"
"""The event of a message: not one of Cinder's, which knows no tracking."""


def of_volume(connection: Connection, volume_id: str) -> Tracking:
    found = connection.execute(select(tracking).where(tracking.c.volume_id == volume_id)).first()
    return Tracking(volume_id) if found is None else Tracking(**found._mapping)  # noqa: SLF001 - as in rows


def record(connection: Connection, volume_id: str, backup_id: str, audit: Audit, now: datetime) -> None:
    """Remember what a backup has looked at and found right, and where the next one goes on."""
    for extent in audit.clean:
        covered = and_(
            audited_ranges.c.volume_id == volume_id,
            audited_ranges.c.offset_bytes >= extent.offset_bytes,
            audited_ranges.c.end_bytes <= extent.end_bytes,
        )
        connection.execute(delete(audited_ranges).where(covered))
        connection.execute(
            insert(audited_ranges).values(
                backup_id=backup_id,
                offset_bytes=extent.offset_bytes,
                end_bytes=extent.end_bytes,
                volume_id=volume_id,
            )
        )
    _change(connection, volume_id, next_offset_bytes=audit.next_offset_bytes, audited_at=now)


def quarantine(
    connection: Connection,
    volume_id: str,
    backup_id: str,
    *,
    job_id: str,
    fence: int,
    wrong: Sequence[Extent],
    reason: str,
    now: datetime,
) -> list[str]:
    """Trust the tracking of a volume no longer; return the backups that it may have made wrong, now suspect.

    Its project gets a message about the volume, and about each of those backups.
    """
    require_fence(connection, job_id, fence)
    _change(connection, volume_id, quarantine_reason=reason, quarantined_at=now, quarantined_by=backup_id)
    suspects = list(_suspects(connection, volume_id, backup_id, wrong))
    mine = and_(backups.c.id.in_(suspects), backups.c.suspect_reason.is_(None))
    connection.execute(update(backups).where(mine).values(suspect_reason=f"backup {backup_id} found: {reason}"))
    project = connection.execute(select(volumes.c.project).where(volumes.c.id == volume_id)).scalar_one()
    for resource in [("VOLUME", volume_id), *(("VOLUME_BACKUP", suspect) for suspect in suspects)]:
        leave_message(connection, project, resource, TRACKING_WRONG, "tracking.wrong", now)
    return suspects


def trust(connection: Connection, volume_id: str) -> None:
    _change(connection, volume_id, quarantine_reason=None, quarantined_at=None, quarantined_by=None)


def forget(connection: Connection, volume_id: str) -> None:
    for table in (tracking, audited_ranges):
        connection.execute(delete(table).where(table.c.volume_id == volume_id))


def _suspects(connection: Connection, volume_id: str, found_by: str, wrong: Sequence[Extent]) -> Iterator[str]:
    """Yield, newest first, the backups since each wrong extent was last seen to be right."""
    seen = select(audited_ranges).where(audited_ranges.c.volume_id == volume_id)
    clean: dict[str, list[Extent]] = {}
    for row in connection.execute(seen):
        extent = Extent(row.offset_bytes, row.end_bytes - row.offset_bytes)
        clean.setdefault(row.backup_id, []).append(extent)
    query = (
        select(backups.c.id, backups.c.state, backups.c.mode, backups.c.full_read_reason)
        .where(backups.c.volume_id == volume_id, backups.c.id != found_by, backups.c.finished_at.is_not(None))
        .order_by(backups.c.created_at.desc())
    )
    unknown = merge(wrong)
    for row in connection.execute(query):
        unknown = subtract(unknown, clean.get(row.id, ()))
        is_published = row.state in (BackupState.AVAILABLE, BackupState.DELETING, BackupState.DELETED)
        if not unknown or (is_published and (row.mode == BackupMode.FULL or row.full_read_reason is not None)):
            return  # It read everything there, so its content is that of the source.
        if row.state == BackupState.AVAILABLE:
            yield row.id


def _change(connection: Connection, volume_id: str, **values: Any) -> None:
    mine = update(tracking).where(tracking.c.volume_id == volume_id).values(values)
    if connection.execute(mine).rowcount == 0:
        connection.execute(insert(tracking).values({"volume_id": volume_id, "next_offset_bytes": 0} | values))
