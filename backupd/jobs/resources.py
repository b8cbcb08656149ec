"""What every job works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.config import AuditConfig
from backupd.model import Volume
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.workers import Workers
from backupd.repository.opened import Repositories
from chunker.errors import SourceError
from chunker.sources.base import PointInTime, Source


def _no_group(_volumes: Sequence[Volume]) -> Sequence[PointInTime]:
    raise SourceError("nothing here can freeze several volumes at one instant")


@dataclass(frozen=True, slots=True)
class Resources:
    """Shared by all jobs of the daemon.

    ``open_source`` says how a volume is read, ``open_group`` takes points in time of several volumes at one instant.
    ``check_destination`` raises unless a restore may (still) write to
    a path, ``check_overwritable`` unless it may overwrite what is there; both block. ``job_memory_bytes`` is each
    running job's part of the limit. ``audit`` says how much of what tracking claims is looked at.
    """

    catalog: Catalog
    clock: Clock
    repositories: Repositories
    workers: Workers
    open_source: Callable[[Volume], Source]
    check_destination: Callable[[str, bool], None]
    check_overwritable: Callable[[str], None]
    job_memory_bytes: int
    audit: AuditConfig
    open_group: Callable[[Sequence[Volume]], Sequence[PointInTime]] = field(default=_no_group, kw_only=True)

    def budget(self) -> ByteBudget:
        """Return the buffers of one job."""
        return ByteBudget(self.job_memory_bytes)
