"""Whether what tracking claims to be unchanged is: a part of it is read at each increment, all of it over time."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backupd.config import AuditConfig
from backupd.jobs.resources import Resources
from backupd.model import Audit, Backup, Job, Statistics, Tracking, Volume
from backupd.pipeline.audit import ChunkAudit, Found
from backupd.pipeline.changes import Reading
from backupd.repository.manifest import Manifest
from backupd.repository.repository import Repository
from chunker.extents import Extent, align, between, subtract
from chunker.sources.base import PointInTime

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Audited:
    """What to read after the audit, and what the audit was; nothing was audited when ``audit`` is None."""

    reading: Reading
    audit: Audit | None = None
    found: Found | None = None


class Auditing:
    """The audit of one attempt at one backup."""

    def __init__(self, resources: Resources, job: Job, backup: Backup, volume: Volume) -> None:
        self._resources = resources
        self._job = job
        self._backup = backup
        self._volume = volume

    async def audited(
        self, point: PointInTime, reading: Reading, parent: Manifest | None, repository: Repository
    ) -> Audited:
        """Return ``reading`` if its claims hold where they were looked at; else the whole volume, and why."""
        if parent is None or reading.full_read_reason is not None:
            return Audited(reading)  # Everything is read anyway.
        tracking = await self._resources.catalog.tracking(self._volume.id)
        if tracking.quarantine_reason is not None:
            return Audited(_whole(point, reading, f"tracking is quarantined: {tracking.quarantine_reason}"))
        sample = self._sample(tracking, point, parent)
        if self._volume.allow_live or not sample:
            return Audited(reading)  # What is written to meanwhile differs from any claim.
        chunks = align(reading.extents, chunk_size_bytes=parent.chunk_size_bytes, size_bytes=point.size_bytes)
        audit = ChunkAudit(
            point,
            reading.base,
            repository,
            workers=self._resources.workers,
            budget=self._resources.budget(),
            chunk_size_bytes=parent.chunk_size_bytes,
        )
        found = await audit.run(subtract(sample, chunks))
        if found.wrong_chunks:
            return Audited(_whole(point, reading, await self._quarantine(found)), None, found)
        return Audited(reading, Audit(sample, sample[-1].end_bytes % _common_bytes(point, parent)), found)

    def _sample(self, tracking: Tracking, point: PointInTime, parent: Manifest) -> tuple[Extent, ...]:
        return sample(
            self._resources.audit,
            size_bytes=_common_bytes(point, parent),
            chunk_size_bytes=parent.chunk_size_bytes,
            next_offset_bytes=tracking.next_offset_bytes,
            elapsed=self._resources.clock.now() - (tracking.audited_at or datetime.fromisoformat(parent.created_at)),
        )

    async def _quarantine(self, found: Found) -> str:
        first = found.wrong[0].offset_bytes
        more = f" and {found.wrong_chunks - 1} more" if found.wrong_chunks > 1 else ""
        reason = f"changes at byte {first}{more} were not told, of {found.chunks} chunks that were looked at"
        suspects = await self._resources.catalog.quarantine(
            self._volume.id,
            self._backup.id,
            job_id=self._job.id,
            fence=self._job.fence,
            wrong=found.wrong,
            reason=reason,
        )
        _log.error(
            "volume %s: its changed-block tracking is wrong: %s; backup %s reads everything; suspect: %s",
            self._volume.name,
            reason,
            self._backup.id,
            ", ".join(suspects) or "no other backup",
        )
        return f"tracking is wrong: {reason}"


def with_audit(statistics: Statistics, audited: Audited | None) -> Statistics:
    """Return what a backup cost together with its audit."""
    found = audited.found if audited else None
    if found is None:
        return statistics
    return replace(
        statistics,
        read_bytes=statistics.read_bytes + found.read_bytes,
        audited_chunks=found.chunks,
        audited_bytes=found.read_bytes,
    )


def sample(
    config: AuditConfig, *, size_bytes: int, chunk_size_bytes: int, next_offset_bytes: int, elapsed: timedelta
) -> tuple[Extent, ...]:
    """Return the whole chunks whose turn it is: from where the last audit ended, and on from the start. Pure."""
    count = -(-size_bytes // chunk_size_bytes)
    wanted = 0
    if config.cover_within_backups:
        wanted = -(-count // config.cover_within_backups)
    if config.cover_within_days:
        days = max(elapsed / timedelta(days=1), 0)
        wanted = max(wanted, math.ceil(count * min(days / config.cover_within_days, 1)))
    if not wanted:
        return ()
    first = next_offset_bytes // chunk_size_bytes % count
    end = min(first + wanted, count)
    parts = [(first, end), (0, min(wanted - (end - first), first))]
    found = [between(a * chunk_size_bytes, min(b * chunk_size_bytes, size_bytes)) for a, b in parts if a < b]
    return tuple(found)


def _common_bytes(point: PointInTime, parent: Manifest) -> int:
    """Return up to where both have whole chunks; what lies behind is read as a change of size."""
    if point.size_bytes == parent.size_bytes:
        return point.size_bytes
    return min(point.size_bytes, parent.size_bytes) // parent.chunk_size_bytes * parent.chunk_size_bytes


def _whole(point: PointInTime, reading: Reading, reason: str) -> Reading:
    return Reading((Extent(0, point.size_bytes),), reading.base, reason)
