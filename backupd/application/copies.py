"""Copies: a backup, or a whole repository, brought to a further target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from backupd.application.available import AvailableBackups
from backupd.application.fields import invalid
from backupd.application.targets import Targets
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.errors import Conflict
from backupd.model import BackupCopy, CopyState, Job, JobKind, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCopy:
    """A request to bring one backup to one more target."""

    backup: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReplication:
    """A request to bring all available backups that the project has on ``source`` to ``target``.

    Encrypted backups and plain ones are two repositories.
    """

    source: str
    target: str
    is_encrypted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProbe:
    """A request to probe a target; ``quick``: only what a promise hangs on, no speed."""

    quick: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Requests copies, and shows what each target has."""

    catalog: Catalog
    clock: Clock
    targets: Targets
    available: AvailableBackups
    wake: Callable[[], None]

    async def of(self, backup_id: str) -> list[BackupCopy]:
        """Return what each target has of a backup; nothing before it is published."""
        return await self.catalog.copies(backup_id)

    async def create(self, project: str, new: NewCopy) -> Job:
        """Return the job. Raises InvalidRequest, NotFound, or Conflict when there is nothing to copy."""
        self.targets.check_known(new.target)
        job = await self.available.job(project, new.backup, JobKind.COPY, {"target": new.target})
        states = {copy.target: copy.state for copy in await self.catalog.copies(new.backup)}
        if states.get(new.target) is CopyState.COMPLETE:
            raise Conflict(f"target {new.target} has all of backup {new.backup} already")
        await self.catalog.add_job(job)
        self.wake()
        return job

    async def replicate(self, project: str, new: NewReplication) -> Job:
        """Return the job. Raises InvalidRequest."""
        self.targets.check_known(new.source, field="source")
        self.targets.check_known(new.target)
        if new.source == new.target:
            raise invalid("target", new.target, "another target than source")
        request = {"source": new.source, "target": new.target, "is_encrypted": new.is_encrypted}
        return await self._add(project, JobKind.REPLICATE, request)

    async def probe(self, project: str, target: str, *, is_quick: bool) -> Job:
        """Return the job that measures what a target really does. Raises NotFound."""
        self.targets.one(target)
        return await self._add(project, JobKind.PROBE, {"target": target, "is_quick": is_quick})

    async def _add(self, project: str, kind: JobKind, request: dict[str, object]) -> Job:
        now = self.clock.now()
        job = Job(str(uuid4()), project, kind, None, JobState.QUEUED, now, request)
        await self.catalog.add_job(job)
        self.wake()
        return job
