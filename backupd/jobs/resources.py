"""What every job works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.config import AuditConfig
from backupd.model import Volume
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.workers import Workers
from backupd.repository.opened import Repositories
from chunker.sources.base import Source


@dataclass(frozen=True, slots=True)
class Resources:
    """Shared by all jobs of the daemon.

    ``open_source`` says how a volume is read. ``check_destination`` raises unless a restore may (still) write to
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

    def budget(self) -> ByteBudget:
        """Return the buffers of one job."""
        return ByteBudget(self.job_memory_bytes)
