"""What a collection condemns, deletes and tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CondemnedKind(StrEnum):
    """``foreign``: condemned by the daemons of another catalog; to be left alone, and not to be relied on.

    ``leaving``: of a write that was not finished when a collection looked. ``moved``: not condemned but compacted away;
    known for as long as its forward is there, whatever listings show.
    """

    PACK = "pack"
    FORWARD = "forward"
    FOREIGN = "foreign"
    LEAVING = "leaving"
    MOVED = "moved"


class Reason(StrEnum):
    """Why something goes. ``orphan``: of a backup that came to nothing; ``mostly_dead``: what lives is moved first."""

    DEAD = "dead"
    ORPHAN = "orphan"
    MOSTLY_DEAD = "mostly_dead"
    UNUSED = "unused"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Condemned:
    """A pack, or the forward of one, that is to be deleted. ``is_going``: past the point of no return."""

    kind: CondemnedKind
    pack_id: bytes
    reason: Reason
    size_bytes: int
    is_going: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What a collection says about one object that goes; ``live_bytes`` of it are moved first."""

    key: str
    reason: str
    size_bytes: int
    live_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionReport:
    """What a collection found and did, in all repositories of a project on a target together.

    ``condemned``, ``reprieved``, ``deleted`` and ``compacted`` count packs; a compacted one is deleted, too.
    ``locked_packs`` are not needed and cannot be deleted yet. ``findings`` are some of what is condemned,
    ``findings_count`` counts all. Nothing is deleted while there are ``foreign_writers`` or jobs it is ``waiting_for``.
    """

    is_dry_run: bool = False
    packs: int = 0
    live_packs: int = 0
    condemned: int = 0
    reprieved: int = 0
    deleted: int = 0
    compacted: int = 0
    moved_bytes: int = 0
    freed_bytes: int = 0
    forwards: int = 0
    deleted_forwards: int = 0
    leavings: int = 0
    locked_packs: int = 0
    waiting_for: tuple[str, ...] = ()
    foreign_writers: tuple[str, ...] = ()
    findings_count: int = 0
    findings: tuple[Finding, ...] = ()
