"""Verifications: every chunk of a backup fetched and checked, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backupd.application.available import AvailableBackups, only
from backupd.catalog.store import Catalog
from backupd.model import Job, JobKind


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVerification:
    """A request for a verification; ``target``: of what this one has, instead of whatever answers."""

    backup: str
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifications:
    """Requests verifications."""

    catalog: Catalog
    available: AvailableBackups
    wake: Callable[[], None]

    async def create(self, project: str, new: NewVerification) -> Job:
        """Return the job. Raises NotFound, or Conflict when the backup is not available."""
        job = await self.available.job(project, new.backup, JobKind.VERIFY, only(new.target))
        await self.catalog.add_job(job)
        self.wake()
        return job
