"""Jobs that read a backup which must be available: restores and verifications."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from backupd.application.targets import Targets
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.errors import Conflict
from backupd.model import Backup, BackupState, CopyState, Job, JobKind, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailableBackups:
    """Makes jobs of backups that are there to be read."""

    catalog: Catalog
    clock: Clock
    targets: Targets

    async def job(self, project: str, backup_id: str, kind: JobKind, request: dict[str, Any]) -> Job:
        """Return a job, not yet stored. Raises NotFound, or Conflict when the backup is not available."""
        backup = await self.catalog.backup(project, backup_id)
        if backup.state is not BackupState.AVAILABLE:
            raise Conflict(f"backup {backup.id} is {backup.state}; expected a backup that is available")
        if kind is not JobKind.COPY:
            await self._check_readable(backup, request.get("target"))
        return Job(
            id=str(uuid4()),
            project=project,
            kind=kind,
            backup_id=backup.id,
            state=JobState.QUEUED,
            created_at=self.clock.now(),
            request=request,
        )

    async def _check_readable(self, backup: Backup, wanted: str | None) -> None:
        """Raise unless a target that has all of the backup is configured, or the one that the request names."""
        copies = await self.catalog.copies(backup.id)
        complete = [copy.target for copy in copies if copy.state is CopyState.COMPLETE]
        if wanted is not None:
            self.targets.check_known(wanted)
            if wanted not in complete:
                raise Conflict(f"target {wanted} does not have all of backup {backup.id}; {', '.join(complete)} has")
        elif not any(self.targets.is_known(target) for target in complete):
            self.targets.check_still_there(backup.target)


def only(target: str | None) -> dict[str, Any]:
    """Return what a job's request says when it is to read from one target only."""
    return {} if target is None else {"target": target}
