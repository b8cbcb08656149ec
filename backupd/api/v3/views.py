"""Model -> the documents of Cinder, at the microversion of the request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from backupd.api.v3.context import caller, links, since, storage
from backupd.application.block_storage.failures import reason
from backupd.application.block_storage.types import VolumeType
from backupd.block_storage import Attachment, BlockBackup, BlockVolume, Snapshot, gib

HOST = "backupd"
_ATTRIBUTES = "backup:backup_project_attribute"


def moment(value: datetime | None) -> str | None:
    """Return a time as Cinder writes it: UTC, without saying so."""
    return None if value is None else value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def summary(request: web.Request, kind: str, thing_id: str, name: str | None) -> dict[str, Any]:
    """Return the short form of anything."""
    return {"id": thing_id, "name": name, "links": links(request, f"/{kind}/{thing_id}")}


def backup_summary(request: web.Request, value: BlockBackup) -> dict[str, Any]:
    """Return the short form of a backup."""
    return summary(request, "backups", value.id, value.details.name)


def backup(request: web.Request, value: BlockBackup) -> dict[str, Any]:
    """Return a backup."""
    details = value.details
    document: dict[str, Any] = {
        **backup_summary(request, value),
        "status": value.status,
        "size": value.size_gib,
        "object_count": value.object_count,
        "availability_zone": details.availability_zone or storage(request).availability_zone,
        "container": details.container,
        "created_at": moment(value.created_at),
        "updated_at": moment(value.updated_at),
        "description": details.description,
        "fail_reason": None if value.failure_code is None else reason(value.failure_code)[:255],
        "volume_id": value.volume_id,
        "is_incremental": value.parent_id is not None,
        "has_dependent_backups": value.has_dependents,
        "snapshot_id": details.snapshot_id,
        "data_timestamp": moment(details.data_timestamp),
    }
    sees_owner = storage(request).access.allows(caller(request), _ATTRIBUTES)
    if since(request, 18) and sees_owner:
        document["os-backup-project-attr:project_id"] = value.project
    if since(request, 43):
        document["metadata"] = dict(details.metadata)
    if since(request, 56) and sees_owner:
        document["user_id"] = details.user_id
    return document


def volume_summary(request: web.Request, value: BlockVolume) -> dict[str, Any]:
    """Return the short form of a volume."""
    return summary(request, "volumes", value.id, value.details.name)


def volume(
    request: web.Request, value: BlockVolume, types: dict[str | None, VolumeType], *, is_new: bool = False
) -> dict[str, Any]:
    """Return a volume; a new one without what only its owner's project and administrators are shown."""
    details = value.details
    found = types.get(value.backup_type_id) or types[None]
    document: dict[str, Any] = {
        **volume_summary(request, value),
        "status": value.status,
        "size": value.size_gib,
        "availability_zone": storage(request).availability_zone,
        "created_at": moment(value.created_at),
        "updated_at": moment(value.updated_at),
        "attachments": [_attached(value.id, one) for one in value.attachments if one.attached_at],
        "description": details.description,
        "volume_type": found.name,
        "snapshot_id": details.snapshot_id,
        "source_volid": details.source_volume_id,
        "metadata": dict(details.metadata),
        "user_id": details.user_id,
        "bootable": "true" if details.is_bootable else "false",
        "encrypted": False,
        "replication_status": None,
        "consistencygroup_id": None,
        "multiattach": False,
        "migration_status": None,
    }
    is_admin = storage(request).access.allows(caller(request), "volume:host_attribute")
    if not is_new:
        document["os-vol-tenant-attr:tenant_id"] = value.project
    if is_admin and not is_new:
        document |= {
            "os-vol-host-attr:host": f"{HOST}@files#files",
            "os-vol-mig-status-attr:migstat": None,
            "os-vol-mig-status-attr:name_id": None,
        }
    return document | _later_fields(request, found, is_admin=is_admin)


def _later_fields(request: web.Request, found: VolumeType, *, is_admin: bool) -> dict[str, Any]:
    fields: dict[str, tuple[int, Any]] = {
        "group_id": (13, None),
        "shared_targets": (48, None if since(request, 69) else False),
        "service_uuid": (48, None),
        "volume_type_id": (63, found.id),
        "consumes_quota": (65, True),
    }
    if is_admin:
        fields |= {"provider_id": (21, None), "cluster_name": (61, None)}
    return {name: value for name, (minor, value) in fields.items() if since(request, minor)}


def _attached(volume_id: str, value: Attachment) -> dict[str, Any]:
    return {
        "id": volume_id,
        "attachment_id": value.id,
        "volume_id": volume_id,
        "server_id": value.instance_id,
        "host_name": value.host,
        "device": value.mountpoint,
        "attached_at": moment(value.attached_at),
    }


def snapshot(request: web.Request, value: Snapshot, *, is_long: bool) -> dict[str, Any]:
    """Return a snapshot; the long form is that of show and detail."""
    document: dict[str, Any] = {
        "id": value.id,
        "name": value.name,
        "description": value.description,
        "volume_id": value.volume_id,
        "status": value.status,
        "size": gib(value.size_bytes),
        "created_at": moment(value.created_at),
        "updated_at": moment(value.updated_at),
        "metadata": dict(value.metadata),
    }
    if is_long:
        document["os-extended-snapshot-attributes:project_id"] = value.project
        document["os-extended-snapshot-attributes:progress"] = "0%" if value.status == "creating" else "100%"
    fields = {"group_snapshot_id": (14, None), "user_id": (41, value.user_id), "consumes_quota": (65, True)}
    return document | {name: found for name, (minor, found) in fields.items() if since(request, minor)}


def attachment(value: Attachment, *, is_long: bool) -> dict[str, Any]:
    """Return an attachment."""
    document: dict[str, Any] = {
        "id": value.id,
        "status": "attached" if value.attached_at else "reserved",
        "instance": value.instance_id,
        "volume_id": value.volume_id,
    }
    if is_long:
        document |= {
            "attached_at": moment(value.attached_at),
            "detached_at": None,
            "attach_mode": value.mode,
            "connection_info": {},
        }
    return document
