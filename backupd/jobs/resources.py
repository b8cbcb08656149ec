"""What every job works with."""

from __future__ import annotations

from dataclasses import dataclass

from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.workers import Workers
from backupd.repository.opened import Repositories


@dataclass(frozen=True, slots=True)
class Resources:
    """Shared by all jobs of the daemon; ``job_memory_bytes`` is each running job's part of the limit."""

    catalog: Catalog
    clock: Clock
    repositories: Repositories
    workers: Workers
    job_memory_bytes: int

    def budget(self) -> ByteBudget:
        """Return the buffers of one job."""
        return ByteBudget(self.job_memory_bytes)
