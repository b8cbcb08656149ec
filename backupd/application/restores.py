"""Restores: a backup written to a new file or over a block device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backupd.application.available import AvailableBackups, only
from backupd.application.paths import Paths
from backupd.catalog.store import Catalog
from backupd.errors import Conflict
from backupd.model import UNFINISHED, Job, JobKind


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRestore:
    """A request for a restore; ``overwrite`` allows the content of a block device to be destroyed.

    ``allow_damaged``: restore what is left, with zeros where nothing is. ``target``: read from this one only,
    instead of whatever answers.
    """

    backup: str
    path: str
    overwrite: bool = False
    allow_damaged: bool = False
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restores:
    """Requests restores."""

    catalog: Catalog
    available: AvailableBackups
    paths: Paths
    wake: Callable[[], None]

    async def create(self, project: str, new: NewRestore) -> Job:
        """Return the job. Raises InvalidRequest, NotFound, Conflict (the backup, another restore)."""
        request = {
            "path": new.path,
            "overwrite": new.overwrite,
            "allow_damaged": new.allow_damaged,
            **only(new.target),
        }
        job = await self.available.job(project, new.backup, JobKind.RESTORE, request)
        await self.paths.check_destination(new.path, overwrite=new.overwrite)
        await self._check_unused(project, new.path)
        await self.catalog.add_job(job)
        self.wake()
        return job

    async def _check_unused(self, project: str, path: str) -> None:
        for state in UNFINISHED:
            jobs = await self.catalog.jobs(project, state=state, kind=JobKind.RESTORE)
            same = await self.paths.same(path, [job.request["path"] for job in jobs])
            for job in jobs:
                if job.request["path"] in same:
                    raise Conflict(f"job {job.id} is {job.state} and restores to {job.request['path']} already")
