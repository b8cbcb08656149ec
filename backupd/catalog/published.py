"""Backups as targets tell of them, put into a new catalog. Part of one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, insert

from backupd.block_storage import BackupDetails, VolumeDetails
from backupd.catalog import rows
from backupd.catalog.block_storage import backups as block_backups
from backupd.catalog.block_storage import volumes as block_volumes
from backupd.catalog.tables import backup_copies, backups, volumes
from backupd.model import Backup, BackupCopy, Volume


def add(
    connection: Connection, volumes_found: Sequence[Volume], found: Sequence[Backup], copies: Sequence[BackupCopy]
) -> None:
    """Insert what was found, all of it."""
    for table, values in (
        (volumes, [asdict(one) for one in volumes_found]),
        (backups, [rows.from_backup(one) for one in found]),
        (backup_copies, [asdict(one) for one in copies]),
    ):
        if values:
            connection.execute(insert(table), values)
    sizes = {one.volume_id: one.size_bytes for one in sorted(found, key=lambda one: one.created_at)}
    for volume in volumes_found:
        details = VolumeDetails(name=volume.name, size_bytes=sizes.get(volume.id))
        block_volumes.add_details(connection, volume.id, details)
    for one in found:
        own = BackupDetails(name=one.name, data_timestamp=one.created_at, size_bytes=one.size_bytes)
        block_backups.add_details(connection, one, own, ())
