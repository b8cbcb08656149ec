"""Backups as targets tell of them, put into a new catalog. Part of one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, insert

from backupd.catalog import rows
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
