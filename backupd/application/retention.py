"""Retention: what a volume's backup type lets go is deleted after each new backup of the volume."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from backupd.application.backups import Backups
from backupd.application.policy import Policy
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.config import Config
from backupd.errors import BackupdError, Conflict
from backupd.model import Backup, BackupState, Job, Volume
from backupd.retention import Candidate, RetentionPolicy, Verdict, judge

_NO_RETENTION = RetentionPolicy()
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JudgedBackup:
    """A backup and what becomes of it."""

    backup: Backup
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRetention:
    """What retention says about a volume now, its newest backup first. Without a name everything is kept."""

    volume: Volume
    backup_type: str | None
    retention: str | None
    policy: RetentionPolicy
    backups: list[JudgedBackup]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Judges the backups of volumes, and requests the deletion of those that are let go."""

    catalog: Catalog
    clock: Clock
    config: Config
    policy: Policy
    backups: Backups

    async def of_volume(self, project: str, id_or_name: str) -> VolumeRetention:
        """Return what would be kept and deleted, and why; nothing is done. Raises NotFound."""
        volume = await self.catalog.volume(project, id_or_name)
        found = await self.policy.of_volume(volume)
        name = found.backup_type.retention if found else None
        # A retention that the configuration has no more deletes nothing.
        section = self.config.retention.get(name) if name is not None else None
        policy = section.policy if section else _NO_RETENTION
        return VolumeRetention(
            volume=volume,
            backup_type=found.backup_type.name if found else None,
            retention=name,
            policy=policy,
            backups=await self._judged(volume, policy),
        )

    async def apply(self, project: str, volume_id: str) -> list[Job]:
        """Return the jobs that delete what is let go; what cannot go now is tried after the next backup. NotFound."""
        judged = await self.of_volume(project, volume_id)
        let_go = [one.backup for one in reversed(judged.backups) if not one.verdict.is_kept]
        jobs = [await self._delete(backup, judged) for backup in let_go]
        return [job for job in jobs if job is not None]

    async def run(self, published: asyncio.Queue[Job]) -> None:
        """Apply to the volume of each backup job that comes out of the queue, until cancelled."""
        while True:
            job = await published.get()
            try:
                for backup in await self.catalog.backups_of(job):
                    await self.apply(job.project, backup.volume_id)
            except BackupdError as error:
                _log.warning("retention was not applied after backup %s: %s", job.backup_id, error)

    async def _judged(self, volume: Volume, policy: RetentionPolicy) -> list[JudgedBackup]:
        found = await self.catalog.backups(volume.project, volume.id)
        held = await self.catalog.holds([one.id for one in found])
        candidates = {
            one.id: Candidate(id=one.id, created_at=one.created_at, is_held=one.id in held)
            for one in found
            if one.state is BackupState.AVAILABLE
        }
        # One that a target has yet to get takes no place: that target would be left with less than the rules say.
        lagging = await self._lagging(volume)
        whole = [one for one in candidates.values() if one.id not in lagging]
        verdicts = {verdict.backup.id: verdict for verdict in judge(policy, whole, now=self.clock.now())}
        for backup_id, targets in lagging.items():
            if backup_id in candidates:
                verdicts[backup_id] = Verdict(candidates[backup_id], (f"lagging on {', '.join(targets)}",))
        return [JudgedBackup(one, verdicts[one.id]) for one in found if one.id in verdicts]

    async def _lagging(self, volume: Volume) -> dict[str, list[str]]:
        """Return backup -> the targets that have yet to get it and still can."""
        found: dict[str, list[str]] = {}
        for backup, copy in await self.catalog.lagging_copies():
            if backup.volume_id == volume.id and copy.target in self.config.targets:
                found.setdefault(backup.id, []).append(copy.target)
        return found

    async def _delete(self, backup: Backup, judged: VolumeRetention) -> Job | None:
        try:
            job = await self.backups.delete(backup.project, backup.id)
        except Conflict as error:
            _log.info('retention "%s" lets backup %s go, but not now: %s', judged.retention, backup.id, error)
            return None
        _log.info('retention "%s" lets backup %s go: job %s deletes it', judged.retention, backup.id, job.id)
        return job
