"""What a failure means to a tenant: what was tried, why it failed, what to do. Pure."""

from __future__ import annotations

from backupd.block_storage import Message

_DO_AGAIN = "Try again later."
_ASK = "Ask the operator, whose log has the details under the id of this resource."
# By the beginning of a failure's code, the longest that fits.
_REASONS = {
    "job.cancelled": ("it was cancelled on request.", "Start it again if that was not meant."),
    "job.crash_loop": ("the backup service ended several times while it was working on it.", _ASK),
    "source.busy": ("something is writing to the volume.", "Detach the volume, or back up a snapshot of it."),
    "source.changed": ("the volume was written to or replaced meanwhile.", "Back up a snapshot of it."),
    "source": ("the volume cannot be read.", _ASK),
    "tracking.wrong": (
        (
            "what told the changes of the volume has left some out. The backup that found it has read everything, and "
            "those since that range was last looked at are suspect."
        ),
        "Restore from one that is not suspect if you can.",
    ),
    "destination.busy": ("something else uses the volume.", "Detach the volume and try again."),
    "destination.too_small": ("the volume is smaller than the backup.", "Extend the volume, or restore to a new one."),
    "destination.full": ("there is no space left where the volumes are.", _ASK),
    "destination": ("the volume cannot be written.", _ASK),
    "target.quota_exceeded": ("the backup storage is full.", _ASK),
    "target": ("the backup storage does not do what is asked of it.", f"{_DO_AGAIN} {_ASK}"),
    "repository.corrupt": ("part of the stored backup is damaged or lost.", "Use another backup."),
    "frame": ("part of the stored backup is damaged or lost.", "Use another backup."),
    "pack": ("part of the stored backup is damaged or lost.", "Use another backup."),
    "node": ("part of the stored backup is damaged or lost.", "Use another backup."),
    "key": ("the key of the backup is not at hand.", _ASK),
    "conflict": ("what it needs is not in the right state any more.", _DO_AGAIN),
    "not_found": ("what it needs is not there any more.", _DO_AGAIN),
}
_UNKNOWN = ("something happened that was not foreseen.", _ASK)
_ACTIONS = {
    "VOLUME_VOLUME_BACKUP_013": "create backup",
    "VOLUME_VOLUME_BACKUP_014": "restore backup",
    "VOLUME_VOLUME_BACKUP_015": "delete backup",
    "VOLUME_VOLUME_BACKUP_016": "import backup record",
    "VOLUME_VOLUME_SNAPSHOT_012": "create snapshot",
    "VOLUME_VOLUME_003": "create volume",
    "VOLUME_BACKUP_TRACKING_001": "rely on changed-block tracking",
}


def reason(code: str) -> str:
    """Return why something failed, and what to do."""
    why, what_to_do = _found(code)
    return f"{why[0].upper()}{why[1:]} {what_to_do}"


def user_message(message: Message) -> str:
    """Return what failed, why, and what to do."""
    action = _ACTIONS.get(message.event_id.rpartition("_")[0], "do what was asked")
    why, what_to_do = _found(message.text)
    return f"{action}:It failed because {why} {what_to_do}"


def _found(code: str) -> tuple[str, str]:
    fitting = [known for known in _REASONS if code == known or code.startswith(f"{known}.")]
    return _REASONS[max(fitting, key=len)] if fitting else _UNKNOWN
