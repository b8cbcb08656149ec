"""The values that the daemon's layers hand to each other. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from chunker.extents import Extent
from chunker.sources.address import Address

DEFAULT_CHUNK_SIZE_BYTES = 256 * 1024
DEFAULT_COMPRESSION_LEVEL = 3


class BackupState(StrEnum):
    """creating -> available | error; available | error -> deleting -> deleted."""

    CREATING = "creating"
    AVAILABLE = "available"
    ERROR = "error"
    DELETING = "deleting"
    DELETED = "deleted"


class BackupMode(StrEnum):
    """What a backup reads: everything, or what changed since its parent."""

    FULL = "full"
    INCREMENTAL = "incremental"


class JobKind(StrEnum):
    BACKUP = "backup"
    RESTORE = "restore"
    VERIFY = "verify"
    DELETE = "delete"
    COPY = "copy"
    REPLICATE = "replicate"
    PROBE = "probe"
    CLONE = "clone"
    IMPORT = "import"
    SCRUB = "scrub"
    REPAIR = "repair"
    COLLECT = "collect"


class CopyState(StrEnum):
    """lagging -> complete: what a target has of a backup that is published."""

    LAGGING = "lagging"
    COMPLETE = "complete"


class JobState(StrEnum):
    """queued -> running -> succeeded | failed; queued -> cancelled; running -> cancelling -> cancelled | ..."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


UNFINISHED = tuple(state for state in JobState if not state.is_final)


class AttemptState(StrEnum):
    """``lost``: the lease ran out before it finished; ``interrupted``: the daemon was stopped meanwhile."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something ended badly: a stable code and a message for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is; ``rate_bytes_per_s`` and ``eta_s`` are None until they are known."""

    done_bytes: int = 0
    total_bytes: int = 0
    rate_bytes_per_s: float | None = None
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class BackupType:
    """The policy that volumes name: where their backups go and how they are stored.

    ``target`` has the first copy, ``copies`` the later ones; a backup is available once ``quorum`` of them
    have it. ``compression_level`` 0 stores chunks as they are. ``bytes_per_s`` 0 is no limit of its own.
    ``verify_bytes`` of what a backup newly stored are read back before it is published. ``retention`` names a
    section of the configuration. ``is_configured``: the type is the configuration file's, not the API's.
    """

    id: str
    name: str
    target: str
    created_at: datetime
    chunk_size_bytes: int = DEFAULT_CHUNK_SIZE_BYTES
    compression_level: int = DEFAULT_COMPRESSION_LEVEL
    is_encrypted: bool = True
    is_deduplicated: bool = True
    copies: tuple[str, ...] = ()
    quorum: int = 1
    bytes_per_s: int = 0
    verify_bytes: int = 0
    retention: str | None = None
    is_configured: bool = False

    @property
    def targets(self) -> tuple[str, ...]:
        """Every target that a backup goes to, the first copy's first."""
        return (self.target, *self.copies)

    def says_the_same(self, other: BackupType) -> bool:
        """Tell whether both are one policy of one name, whoever made them and when."""
        return replace(self, id=other.id, created_at=other.created_at, is_configured=other.is_configured) == other


@dataclass(frozen=True, slots=True)
class Volume:
    """A registered volume. ``source`` is its address; ``allow_live``: something may be writing to it meanwhile.

    Without ``backup_type_id`` it has the type that is its project's default when it is backed up.
    """

    id: str
    project: str
    name: str
    source: str
    backup_type_id: str | None
    created_at: datetime
    allow_live: bool = False
    direct_io: bool = False

    @property
    def path(self) -> str | None:
        """The path of the file or device that it is; None of any other kind of source."""
        address = Address.parse(self.source)
        return address.path if address.kind == "file" else None


@dataclass(frozen=True, slots=True)
class Tracking:
    """What is known of the changed-block tracking of a volume; it is not trusted while there is a reason."""

    volume_id: str
    next_offset_bytes: int = 0
    audited_at: datetime | None = None
    quarantine_reason: str | None = None
    quarantined_at: datetime | None = None
    quarantined_by: str | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """What a backup looked at and found as it was claimed to be, and where the next one goes on."""

    clean: tuple[Extent, ...]
    next_offset_bytes: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a backup cost. ``read_bytes``: read from the source, ``audited_bytes`` of it to see whether its
    tracking is right; ``new_bytes``: plain bytes of chunks that the
    repository did not have; ``stored_bytes``: what was uploaded for them, nodes included.

    All of it is of the attempt that published: what interrupted ones had stored are reused chunks to it.
    """

    read_bytes: int = 0
    new_bytes: int = 0
    stored_bytes: int = 0
    new_chunks: int = 0
    reused_chunks: int = 0
    unchanged_chunks: int = 0
    zero_chunks: int = 0
    nodes: int = 0
    packs: int = 0
    requests: int = 0
    duration_s: float = 0.0
    audited_chunks: int = 0
    audited_bytes: int = 0


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What a published backup is."""

    size_bytes: int
    parent_id: str | None
    full_read_reason: str | None
    statistics: Statistics
    audit: Audit | None = None


@dataclass(frozen=True, slots=True)
class Backup:
    """One point in time of a volume. The policy's fields are copied: changing a type changes no old backup."""

    id: str
    project: str
    volume_id: str
    name: str
    mode: BackupMode
    target: str
    chunk_size_bytes: int
    compression_level: int
    is_encrypted: bool
    is_deduplicated: bool
    state: BackupState
    created_at: datetime
    parent_id: str | None = None
    size_bytes: int | None = None
    finished_at: datetime | None = None
    full_read_reason: str | None = None
    statistics: Statistics | None = None
    failure: Failure | None = None
    copies: tuple[str, ...] = ()
    quorum: int = 1
    bytes_per_s: int = 0
    verify_bytes: int = 0
    suspect_reason: str | None = None

    @property
    def read_as(self) -> str | None:
        """How its volume was read: ``tracked``, what had changed only, or ``whole``; None before it is known."""
        if self.statistics is None:
            return None
        return "whole" if self.mode is BackupMode.FULL or self.full_read_reason else "tracked"

    @property
    def targets(self) -> tuple[str, ...]:
        """Every target that it was to go to, the first copy's first."""
        return (self.target, *self.copies)


@dataclass(frozen=True, slots=True)
class BackupCopy:
    """What one target has of one published backup."""

    backup_id: str
    target: str
    state: CopyState


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work, on one backup if ``backup_id`` names one. ``fence`` grows with each claim; only its
    holder may write results.
    """

    id: str
    project: str
    kind: JobKind
    backup_id: str | None
    state: JobState
    created_at: datetime
    request: dict[str, Any] = field(default_factory=dict)
    fence: int = 0
    lease_owner: str | None = None
    lease_expires_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: Progress = field(default_factory=Progress)
    failure: Failure | None = None

    @property
    def of_backup(self) -> str:
        """The id of its backup; ValueError for a kind of job that has none."""
        if self.backup_id is None:
            raise ValueError(f"job {self.id} ({self.kind}) is on no backup")
        return self.backup_id


@dataclass(frozen=True, slots=True)
class Hold:
    """Somebody said that a backup stays, and why."""

    backup_id: str
    reason: str
    held_at: datetime


@dataclass(frozen=True, slots=True)
class RepositoryName:
    """What one project has on one target."""

    project: str
    target: str
    is_encrypted: bool


@dataclass(frozen=True, slots=True)
class TargetProbe:
    """The last probe of a target: of which ``url``, when, and the report as it is stored."""

    target: str
    url: str
    probed_at: datetime
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One worker's try at a job."""

    job_id: str
    fence: int
    owner: str
    state: AttemptState
    started_at: datetime
    finished_at: datetime | None = None
    failure: Failure | None = None
