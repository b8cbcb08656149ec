"""Model -> JSON document. Each view lists its fields, so that no internal one slips out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from backupd.application.backup_types import BackupTypeDetail
from backupd.application.condition import BackupCondition, LocatedDamage
from backupd.application.jobs import JobDetail
from backupd.application.retention import JudgedBackup, VolumeRetention
from backupd.application.targets import ConfiguredTarget
from backupd.application.volumes import VolumeDetail
from backupd.block_storage import Message
from backupd.condition import Verification
from backupd.model import Attempt, Backup, BackupCopy, Failure, Hold, Job, JobKind, Statistics, Tracking
from backupd.repository import layout
from targets.base import Capabilities
from targets.probe import ProbeReport, doubts, unfit

_VOLUME = ("id", "name", "source", "path", "backup_type_id", "allow_live", "direct_io", "created_at")
_BACKUP_TYPE = (
    "id",
    "name",
    "target",
    "copies",
    "quorum",
    "chunk_size_bytes",
    "compression_level",
    "is_encrypted",
    "is_deduplicated",
    "bytes_per_s",
    "verify_bytes",
    "retention",
    "is_configured",
    "created_at",
)
_BACKUP = (
    "id",
    "name",
    "volume_id",
    "state",
    "mode",
    "parent_id",
    "size_bytes",
    "target",
    "chunk_size_bytes",
    "compression_level",
    "is_encrypted",
    "is_deduplicated",
    "created_at",
    "finished_at",
    "read_as",
    "full_read_reason",
    "suspect_reason",
)
_TRACKING = (
    "volume_id",
    "next_offset_bytes",
    "audited_at",
    "quarantine_reason",
    "quarantined_at",
    "quarantined_by",
)
_MESSAGE = ("id", "event_id", "resource_type", "resource_id", "text", "created_at", "expires_at")
_JUDGED = ("id", "name", "created_at")
_JOB = ("id", "kind", "backup_id", "state", "created_at", "started_at", "finished_at")
_ATTEMPT = ("owner", "state", "started_at", "finished_at")
_SHOWN_REQUESTS = (JobKind.COPY, JobKind.REPLICATE, JobKind.PROBE, JobKind.SCRUB, JobKind.REPAIR, JobKind.COLLECT)
_DAMAGE = ("target", "key", "offset", "length", "frame_id", "is_lost", "message", "found_at")
_UNKNOWN_CONDITION = BackupCondition(None, is_damaged=False)
_DESTINATION = ("path", "overwrite")


def volume(value: VolumeDetail) -> dict[str, Any]:
    """Return the document of a volume."""
    found = value.backup_type
    return {
        **_pick(value.volume, _VOLUME),
        "backup_type": found.backup_type.name if found else None,
        "backup_type_from": found.origin if found else None,
    }


def message(value: Message) -> dict[str, Any]:
    """Return the document of a message."""
    return _pick(value, _MESSAGE)


def retention(value: VolumeRetention) -> dict[str, Any]:
    """Return the document of what retention says about a volume."""
    return {
        "volume_id": value.volume.id,
        "backup_type": value.backup_type,
        "retention": value.retention,
        "rules": asdict(value.policy),
        "backups": [_judged(one) for one in value.backups],
    }


def _judged(value: JudgedBackup) -> dict[str, Any]:
    verdict = value.verdict
    return {**_pick(value.backup, _JUDGED), "is_kept": verdict.is_kept, "reasons": verdict.reasons}


def backup_type(value: BackupTypeDetail) -> dict[str, Any]:
    """Return the document of a backup type."""
    return {
        **_pick(value.backup_type, _BACKUP_TYPE),
        "targets": [_ability(name, found) for name, found in value.targets.items()],
        "problems": value.problems,
    }


def _ability(name: str, value: Capabilities | None) -> dict[str, Any]:
    return {
        "name": name,
        "conditional_put": value.conditional_put if value else None,
        "object_size_bytes_max": value.object_size_bytes_max if value else None,
    }


def target(value: ConfiguredTarget) -> dict[str, Any]:
    """Return the document of a target."""
    traffic = {
        "requests": value.counters.requests,
        "received_bytes": value.counters.bytes_in,
        "sent_bytes": value.counters.bytes_out,
    }
    return {
        "name": value.name,
        "url": value.url,
        "capabilities": asdict(value.capabilities),
        "single_writer": value.single_writer,
        "traffic": traffic,
    }


def probed_target(value: ConfiguredTarget) -> dict[str, Any]:
    """Return the document of a target with its last probe, and what follows from that."""
    if value.probe is None:
        return {**target(value), "probe": None}
    report = ProbeReport.from_json(value.probe.report)
    found = {
        "probed_at": _plain(value.probe.probed_at),
        "unfit_because": unfit(report, single_writer=value.single_writer),
        "doubts": doubts(report),
        **value.probe.report,
    }
    return {**target(value), "probe": found}


def tracking(value: Tracking) -> dict[str, Any]:
    """Return the document of what is known of a volume's changed-block tracking."""
    return {"is_trusted": value.quarantine_reason is None, **_pick(value, _TRACKING)}


def started(value: Job) -> web.Response:
    """Return the answer to a request that has started a job."""
    return web.json_response({"job": job(value)}, status=202, headers={"Location": f"/v1/jobs/{value.id}"})


def backup(
    value: Backup, copies: Sequence[BackupCopy] | None = None, *, condition: BackupCondition = _UNKNOWN_CONDITION
) -> dict[str, Any]:
    """Return the document of a backup; with what each target has of it, if that was asked for."""
    return {
        **_pick(value, _BACKUP),
        "is_damaged": condition.is_damaged,
        "verification": _optional(_verification, condition.verification),
        **({} if copies is None else {"copies": [{"target": copy.target, "state": copy.state} for copy in copies]}),
        "statistics": _optional(_statistics, value.statistics),
        "failure": _optional(_failure, value.failure),
    }


def damage(value: LocatedDamage) -> dict[str, Any]:
    """Return the document of damage; its key is the whole one, from the target's root."""
    found = value.damage
    prefix = layout.prefix(found.project, is_encrypted=found.is_encrypted)
    backups = [{"backup_id": one.backup_id, "ranges": one.ranges} for one in value.backups]
    return {**_pick(found, _DAMAGE), "key": prefix + found.key, "backups": backups}


def _verification(value: Verification) -> dict[str, Any]:
    return {
        "verified_at": _plain(value.verified_at),
        "target": value.target,
        "is_whole": value.failure is None,
        "failure": _optional(_failure, value.failure),
    }


def hold(value: Hold | None) -> dict[str, Any] | None:
    """Return the document of a hold."""
    return None if value is None else {"reason": value.reason, "held_at": _plain(value.held_at)}


def job(value: Job) -> dict[str, Any]:
    """Return the document of a job; of its request only where a restore goes."""
    document = {
        **_pick(value, _JOB),
        "progress": asdict(value.progress),
        "failure": _optional(_failure, value.failure),
    }
    if value.kind is JobKind.RESTORE:
        document["destination"] = {name: value.request.get(name) for name in _DESTINATION}
    if value.kind in _SHOWN_REQUESTS:
        document["request"] = value.request
    return document


def job_detail(value: JobDetail) -> dict[str, Any]:
    """Return the document of a job with its attempts and result."""
    return {
        **job(value.job),
        "attempts": [_attempt(attempt) for attempt in value.attempts],
        "result": value.result if isinstance(value.result, dict) else _optional(asdict, value.result),
    }


def _attempt(value: Attempt) -> dict[str, Any]:
    return {
        "number": value.fence,
        **_pick(value, _ATTEMPT),
        "failure": _optional(_failure, value.failure),
    }


def _statistics(value: Statistics) -> dict[str, Any]:
    return asdict(value)


def _failure(value: Failure) -> dict[str, Any]:
    return {"code": value.code, "message": value.message}


def _optional(view: Callable[[Any], dict[str, Any]], value: object | None) -> dict[str, Any] | None:
    return None if value is None else view(value)


def _pick(value: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: _plain(getattr(value, name)) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value
