"""What block storage knows besides what is backed up: volumes with states, snapshots, attachments, messages. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from chunker.sources.address import Address

GIB = 1024**3


def gib(size_bytes: int | None) -> int:
    """Return a size in whole GiB, as the API has it: rounded up."""
    return -(-(size_bytes or 0) // GIB)


class VolumeStatus(StrEnum):
    """What is stored and what follows from jobs, in one list.

    ``backing-up`` and ``restoring-backup`` are never stored: they are there for as long as the job is.
    """

    CREATING = "creating"
    AVAILABLE = "available"
    RESERVED = "reserved"
    ATTACHING = "attaching"
    IN_USE = "in-use"
    DETACHING = "detaching"
    BACKING_UP = "backing-up"
    RESTORING = "restoring-backup"
    DELETING = "deleting"
    ERROR = "error"
    ERROR_RESTORING = "error_restoring"
    ERROR_DELETING = "error_deleting"
    MAINTENANCE = "maintenance"


class SnapshotStatus(StrEnum):
    """As of volumes."""

    CREATING = "creating"
    AVAILABLE = "available"
    BACKING_UP = "backing-up"
    DELETING = "deleting"
    ERROR = "error"


class BackupStatus(StrEnum):
    """The states of a backup, and ``restoring`` for as long as a restore of it is under way."""

    CREATING = "creating"
    AVAILABLE = "available"
    RESTORING = "restoring"
    DELETING = "deleting"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeDetails:
    """What is stored of a volume besides where it is. ``is_made``: the file is ours, to be removed with it."""

    user_id: str | None = None
    name: str | None = None
    description: str | None = None
    size_bytes: int | None = None
    status: VolumeStatus = VolumeStatus.AVAILABLE
    metadata: Mapping[str, str] = field(default_factory=dict)
    is_made: bool = False
    is_bootable: bool = False
    snapshot_id: str | None = None
    source_volume_id: str | None = None
    backup_id: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What uses a volume. Without ``attached_at`` the volume is only reserved for it."""

    id: str
    volume_id: str
    project: str
    instance_id: str | None = None
    host: str | None = None
    mountpoint: str | None = None
    mode: str = "rw"
    attached_at: datetime | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockVolume:
    """A volume as block storage shows it."""

    id: str
    project: str
    source: str
    backup_type_id: str | None
    created_at: datetime
    updated_at: datetime | None
    status: VolumeStatus
    details: VolumeDetails
    attachments: tuple[Attachment, ...] = ()

    @property
    def path(self) -> str | None:
        """The path of the file or device that it is; None of any other kind of source."""
        address = Address.parse(self.source)
        return address.path if address.kind == "file" else None

    @property
    def size_gib(self) -> int:
        """The size as the API has it."""
        return gib(self.details.size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A volume as it was, in a file of its own."""

    id: str
    project: str
    volume_id: str
    user_id: str | None
    name: str | None
    description: str | None
    size_bytes: int
    path: str
    metadata: Mapping[str, str]
    status: SnapshotStatus
    created_at: datetime
    updated_at: datetime | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupDetails:
    """What is stored of a backup besides the backup itself.

    ``data_timestamp``: when the data were so; that of a snapshot is the snapshot's. ``volume_metadata`` and
    ``volume_name`` are the volume's of then, for what is restored to a new one.
    """

    user_id: str | None = None
    name: str | None = None
    description: str | None = None
    container: str | None = None
    availability_zone: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    snapshot_id: str | None = None
    data_timestamp: datetime | None = None
    size_bytes: int | None = None
    volume_name: str | None = None
    volume_description: str | None = None
    volume_metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockBackup:
    """A backup as block storage shows it."""

    id: str
    project: str
    volume_id: str
    status: BackupStatus
    parent_id: str | None
    created_at: datetime
    updated_at: datetime | None
    object_count: int
    failure_code: str | None
    target: str
    is_encrypted: bool
    has_dependents: bool
    is_unfinished: bool
    details: BackupDetails

    @property
    def size_gib(self) -> int:
        """The size as the API has it."""
        return gib(self.details.size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What went wrong after a request had been accepted, for the one who sent it."""

    id: str
    project: str
    resource_type: str
    resource_id: str
    event_id: str
    text: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """What a time in a list is to be: ``name`` ``comparison`` (gt, gte, lt, lte, eq, neq) ``value``."""

    name: str
    comparison: str
    value: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which part of a list: ``sort`` has (key, is descending); ``marker`` is the last one seen, by id."""

    limit: int
    offset: int = 0
    marker: str | None = None
    sort: tuple[tuple[str, bool], ...] = (("created_at", True),)
    filters: Mapping[str, str] = field(default_factory=dict)
    contains: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    moments: tuple[Moment, ...] = ()
    is_counted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSummary:
    """All volumes together; ``metadata`` has every value that some volume has of each key."""

    count: int
    size_gib: int
    metadata: Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request takes of its project's quota, and how much the project may have in all; -1 is no limit."""

    resource: str
    amount: int
    limit: int
