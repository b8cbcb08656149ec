"""Backup records: exported, signed, and imported again into the project that they are of."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from backupd.access import Access, Caller
from backupd.application.block_storage.backups import BlockBackups
from backupd.application.block_storage.quotas import Quotas
from backupd.application.targets import Targets
from backupd.block_storage import BackupDetails, BackupStatus, BlockBackup, gib
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.errors import InvalidRequest, WrongStatus
from backupd.model import DEFAULT_COMPRESSION_LEVEL, Backup, BackupMode, BackupState, Job, JobKind, JobState

# Clients look for the beginning.
SERVICE = "cinder.backup.drivers.backupd.BackupdDriver"
_RECORD_CHARACTERS_MAX = 256 * 1024
_CANNOT_PARSE = "Invalid input received: Can't parse backup record."
_SIGNED = (
    "backup_id",
    "project",
    "volume_id",
    "target",
    "is_encrypted",
    "chunk_size_bytes",
    "size_bytes",
    "created_at",
    "data_timestamp",
    "volume_name",
    "volume_description",
    "volume_metadata",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Exports and imports records. ``sign`` is keyed by what only this service, or one with its key, has."""

    catalog: Catalog
    clock: Clock
    access: Access
    quotas: Quotas
    targets: Targets
    backups: BlockBackups
    sign: Callable[[bytes], bytes]
    wake: Callable[[], None]

    async def export(self, caller: Caller, backup_id: str) -> tuple[str, str]:
        """Return the service and the record of an available backup. Forbidden, NotFound, InvalidRequest."""
        self.access.require(caller, "backup:export-import")
        backup = await self.backups.one(caller, backup_id)
        if backup.status is not BackupStatus.AVAILABLE:
            raise InvalidRequest("Invalid backup: Backup status must be available and not error.")
        full = await self.catalog.backup(backup.project, backup.id)
        record = _fields(backup) | {"driver_info": self._signed(_facts(backup, full))}
        return SERVICE, base64.b64encode(json.dumps(record).encode()).decode()

    async def import_(self, caller: Caller, service: str, url: str) -> BlockBackup:
        """Return the new backup in ``creating``; a job finds out whether its data are there.

        It belongs to the project that the record is signed for, whose keys its data are sealed with. Of what is
        not signed only what says nothing about the data is taken: names, description, metadata, zone and parent.
        """
        self.access.require(caller, "backup:backup-import")
        record = _decoded(url)
        backup_id = _uuid(record.get("id"))
        if record.get("size") is None:
            raise InvalidRequest(_CANNOT_PARSE)
        facts = self._verified(record.get("driver_info")) if service == SERVICE else None
        if facts is None or not _says_what_is_signed(record, facts):
            raise InvalidRequest(
                "Invalid input received: The backup record was not made by this service, or was changed since."
            )
        backup, details = self._new(caller, backup_id, record, facts)
        amounts = {"backups": 1, "backup_gigabytes": gib(facts["size_bytes"])}
        charges = await self.quotas.check(backup.project, amounts)
        job = Job(
            id=str(uuid4()),
            project=backup.project,
            kind=JobKind.IMPORT,
            backup_id=backup.id,
            state=JobState.QUEUED,
            created_at=self.clock.now(),
            request={"of_backup": facts["backup_id"], "target": facts["target"]},
        )
        try:
            await self.catalog.block_storage.add_imported(backup, details, job, charges)
        except WrongStatus as error:
            raise InvalidRequest("Invalid backup: Backup already exists in database.") from error
        self.wake()
        return await self.catalog.block_storage.backup(backup.project, backup.id)

    def _new(
        self, caller: Caller, backup_id: str, record: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> tuple[Backup, BackupDetails]:
        parent_id = record.get("parent_id")
        backup = Backup(
            id=backup_id,
            project=facts["project"],
            volume_id=facts["volume_id"],
            name=backup_id,
            mode=BackupMode.INCREMENTAL if parent_id else BackupMode.FULL,
            target=facts["target"],
            chunk_size_bytes=facts["chunk_size_bytes"],
            compression_level=DEFAULT_COMPRESSION_LEVEL,
            is_encrypted=facts["is_encrypted"],
            is_deduplicated=True,
            state=BackupState.CREATING,
            created_at=datetime.fromisoformat(facts["created_at"]),
            parent_id=_uuid(parent_id) if parent_id else None,
        )
        moment = facts["data_timestamp"]
        details = BackupDetails(
            user_id=caller.user_id,
            name=_text(record.get("display_name")),
            description=_text(record.get("display_description")),
            container=_text(record.get("container")),
            availability_zone=_text(record.get("availability_zone")),
            metadata=_metadata(record.get("metadata")),
            data_timestamp=datetime.fromisoformat(moment) if moment else None,
            size_bytes=facts["size_bytes"],
            volume_name=facts["volume_name"],
            volume_description=facts["volume_description"],
            volume_metadata=facts["volume_metadata"],
        )
        return backup, details

    def _signed(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {**facts, "signature": self.sign(_canonical(facts)).hex()}

    def _verified(self, found: Any) -> Mapping[str, Any] | None:
        """Return what is signed, None when the signature is not ours or the target is here no longer."""
        if not isinstance(found, dict) or found.keys() != {*_SIGNED, "signature"}:
            return None
        facts = {name: found[name] for name in _SIGNED}
        offered = found["signature"] if isinstance(found["signature"], str) else ""
        if not hmac.compare_digest(offered.encode(), self.sign(_canonical(facts)).hex().encode()):
            return None
        return facts if self.targets.is_known(facts["target"]) else None


def _facts(backup: BlockBackup, full: Backup) -> dict[str, Any]:
    details = backup.details
    return {
        "backup_id": backup.id,
        "project": backup.project,
        "volume_id": backup.volume_id,
        "target": full.target,
        "is_encrypted": full.is_encrypted,
        "chunk_size_bytes": full.chunk_size_bytes,
        "size_bytes": details.size_bytes,
        "created_at": backup.created_at.isoformat(),
        "data_timestamp": details.data_timestamp.isoformat() if details.data_timestamp else None,
        "volume_name": details.volume_name,
        "volume_description": details.volume_description,
        "volume_metadata": dict(details.volume_metadata),
    }


def _fields(backup: BlockBackup) -> dict[str, Any]:
    """Return what Cinder writes into a record; nothing of it says where the data are."""
    details = backup.details
    return {
        "id": backup.id,
        "user_id": details.user_id,
        "project_id": backup.project,
        "volume_id": backup.volume_id,
        "host": None,
        "availability_zone": details.availability_zone,
        "container": details.container,
        "parent_id": backup.parent_id,
        "status": str(backup.status),
        "fail_reason": None,
        "size": backup.size_gib,
        "display_name": details.name,
        "display_description": details.description,
        "service_metadata": None,
        "service": SERVICE,
        "object_count": backup.object_count,
        "temp_volume_id": None,
        "temp_snapshot_id": None,
        "num_dependent_backups": int(backup.has_dependents),
        "snapshot_id": details.snapshot_id,
        "data_timestamp": details.data_timestamp.isoformat() if details.data_timestamp else None,
        "restore_volume_id": None,
        "metadata": dict(details.metadata),
        "encryption_key_id": None,
        "created_at": backup.created_at.isoformat(),
        "updated_at": backup.updated_at.isoformat() if backup.updated_at else None,
        "deleted_at": None,
        "deleted": False,
    }


def _says_what_is_signed(record: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    signed = {
        "project_id": facts["project"],
        "size": gib(facts["size_bytes"]),
        **{name: facts[name] for name in ("volume_id", "created_at", "data_timestamp")},
    }
    return all(record.get(name) == value for name, value in signed.items())


def _canonical(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def _decoded(url: str) -> dict[str, Any]:
    if len(url) > _RECORD_CHARACTERS_MAX:
        raise InvalidRequest(_CANNOT_PARSE)
    try:
        found = json.loads(base64.b64decode(url, validate=True))
        text = json.dumps(found, ensure_ascii=False).encode()  # Half a surrogate pair is no text that could be stored.
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidRequest(_CANNOT_PARSE) from error
    is_nul = b"\\u0000" in text.replace(b"\\\\", b"")
    if not isinstance(found, dict) or is_nul:
        raise InvalidRequest(_CANNOT_PARSE)
    return found


def _uuid(value: Any) -> str:
    try:
        return str(UUID(value))
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidRequest(_CANNOT_PARSE) from error


def _text(value: Any) -> str | None:
    return value[:255] if isinstance(value, str) else None


def _metadata(value: Any) -> dict[str, str]:
    found = value if isinstance(value, dict) else {}
    return {key[:255]: text[:255] for key, text in found.items() if isinstance(text, str)}
