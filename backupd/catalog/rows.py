"""Rows to model values and back. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Row

from backupd.model import (
    Attempt,
    AttemptState,
    Backup,
    BackupCopy,
    BackupMode,
    BackupState,
    BackupType,
    CopyState,
    Failure,
    Job,
    JobKind,
    JobState,
    Progress,
    Statistics,
    TargetProbe,
    Volume,
)


def backup_type(row: Row[Any]) -> BackupType:
    fields = row._asdict()
    fields["copies"] = tuple(fields["copies"])
    return BackupType(**fields)


def volume(row: Row[Any]) -> Volume:
    return Volume(**row._asdict())


def backup(row: Row[Any]) -> Backup:
    fields = row._asdict()
    fields["failure"] = _failure(fields)
    fields["mode"] = BackupMode(fields["mode"])
    fields["state"] = BackupState(fields["state"])
    fields["copies"] = tuple(fields["copies"])
    if fields["statistics"] is not None:
        fields["statistics"] = Statistics(**fields["statistics"])
    return Backup(**fields)


def from_backup(value: Backup) -> dict[str, Any]:
    return _flat(asdict(value))


def backup_copy(row: Row[Any]) -> BackupCopy:
    return BackupCopy(row.backup_id, row.target, CopyState(row.state))


def probe(row: Row[Any]) -> TargetProbe:
    return TargetProbe(**row._asdict())


def job(row: Row[Any]) -> Job:
    fields = row._asdict()
    fields["failure"] = _failure(fields)
    fields["kind"] = JobKind(fields["kind"])
    fields["state"] = JobState(fields["state"])
    del fields["is_publishing"]  # Matters to the catalog only.
    fields["request"] = fields["request"] or {}  # NULL in a list.
    names = ("done_bytes", "total_bytes", "rate_bytes_per_s", "eta_s")
    fields["progress"] = Progress(**{name: fields.pop(name) for name in names})
    return Job(**fields)


def from_job(value: Job) -> dict[str, Any]:
    fields = _flat(asdict(value))
    progress: dict[str, Any] = fields.pop("progress")
    return fields | progress


def attempt(row: Row[Any]) -> Attempt:
    fields = row._asdict()
    fields["failure"] = _failure(fields)
    fields["state"] = AttemptState(fields["state"])
    return Attempt(**fields)


def from_failure(failure: Failure | None) -> dict[str, str | None]:
    return {
        "failure_code": failure.code if failure else None,
        "failure_message": failure.message if failure else None,
    }


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    failure = fields.pop("failure")
    return fields | from_failure(Failure(**failure) if failure else None)


def _failure(fields: dict[str, Any]) -> Failure | None:
    code, message = fields.pop("failure_code"), fields.pop("failure_message")
    return Failure(code, message) if code is not None else None
