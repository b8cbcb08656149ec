"""What is known of the condition of stored backups: when they were verified, and what is damaged. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from backupd.model import Failure

RANGES_MAX = 1000
Ranges = tuple[tuple[int, int], ...]
"""Offset and length of stretches of a volume in bytes, ascending."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The last full verification of a backup; ``failure`` None: every byte was right.

    ``target``: the one that was read, None: whatever answered.
    """

    backup_id: str
    verified_at: datetime
    target: str | None
    failure: Failure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One thing that is wrong with one object. Without ``offset`` it is the object as a whole, as when it is lost.

    ``key`` is the object's within its repository; ``frame_id`` is hexadecimal.
    """

    id: str
    target: str
    project: str
    is_encrypted: bool
    key: str
    message: str
    found_at: datetime
    offset: int | None = None
    length: int | None = None
    frame_id: str | None = None
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class AffectedBackup:
    """Which part of a backup needs what is damaged; no ranges: all of it can be restored nevertheless."""

    damage_id: str
    backup_id: str
    ranges: Ranges


@dataclass(frozen=True, slots=True)
class ScrubbedObject:
    """An object of a target that is to be scrubbed; ``key`` is the whole one, from the target's root."""

    key: str
    size_bytes: int


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return ``ranges`` (offset, length) ascending, those that touch made one; of very many the last are one."""
    found: list[tuple[int, int]] = []
    for offset, length in sorted(ranges):
        if found and (offset <= sum(found[-1]) or len(found) == RANGES_MAX):
            start, end = found[-1][0], max(sum(found[-1]), offset + length)
            found[-1] = start, end - start
        else:
            found.append((offset, length))
    return tuple(found)
