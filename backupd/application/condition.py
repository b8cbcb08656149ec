"""The condition of what is stored: targets scrubbed and repaired, damage shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from backupd.application.fields import check_integer
from backupd.application.targets import Targets
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.condition import AffectedBackup, Damage, Verification
from backupd.model import Job, JobKind, JobState

_SCRUB_BYTES_MAX = 2**60
_LISTED_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewScrub:
    """A request to scrub a target; ``bytes`` None: everything.

    Without ``with_keys`` only stored checksums are looked at: nothing is decrypted, and nobody looks which backups
    need what is damaged or lost.
    """

    target: str
    bytes: int | None = None
    with_keys: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRepair:
    """A request to repair what is damaged on a target."""

    target: str


@dataclass(frozen=True, slots=True)
class BackupCondition:
    """When a backup was verified last, and whether some target has not everything as it should be."""

    verification: Verification | None
    is_damaged: bool


@dataclass(frozen=True, slots=True)
class LocatedDamage:
    """Damage, and the backups that need what is damaged."""

    damage: Damage
    backups: list[AffectedBackup]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Requests scrubs and repairs, and shows what is known."""

    catalog: Catalog
    clock: Clock
    targets: Targets
    wake: Callable[[], None]

    async def scrub(self, project: str, new: NewScrub) -> Job:
        """Return the job. Raises InvalidRequest."""
        self.targets.check_known(new.target)
        if new.bytes is not None:
            check_integer("bytes", new.bytes, minimum=1, maximum=_SCRUB_BYTES_MAX)
        request: dict[str, object] = {"target": new.target, "bytes_max": new.bytes, "with_keys": new.with_keys}
        return await self._add(project, JobKind.SCRUB, request)

    async def repair(self, project: str, new: NewRepair) -> Job:
        """Return the job. Raises InvalidRequest."""
        self.targets.check_known(new.target)
        return await self._add(project, JobKind.REPAIR, {"target": new.target})

    async def damages(
        self, project: str, *, target: str | None = None, backup: str | None = None
    ) -> list[LocatedDamage]:
        """Return what is damaged, at most a thousand. Raises InvalidRequest, NotFound."""
        if target is not None:
            self.targets.check_known(target)
        if backup is not None:
            await self.catalog.backup(project, backup)
        condition = self.catalog.condition
        found = await condition.damages(project, target=target, backup_id=backup, limit=_LISTED_MAX)
        affected: dict[str, list[AffectedBackup]] = {}
        for one in await condition.affected([damage.id for damage in found]):
            affected.setdefault(one.damage_id, []).append(one)
        return [LocatedDamage(damage, affected.get(damage.id, [])) for damage in found]

    async def of_backups(self, project: str) -> Callable[[str], BackupCondition]:
        """Return what tells the condition of each backup."""
        verifications = await self.catalog.condition.verifications(project)
        damaged = await self.catalog.condition.damaged_backups(project)

        def of(backup_id: str) -> BackupCondition:
            verification = verifications.get(backup_id)
            has_failed = verification is not None and verification.failure is not None
            return BackupCondition(verification, is_damaged=has_failed or backup_id in damaged)

        return of

    async def of_backup(self, project: str, backup_id: str) -> BackupCondition:
        """Return the condition of one backup."""
        verification = await self.catalog.condition.verification(backup_id)
        found = await self.catalog.condition.damages(project, backup_id=backup_id, limit=1)
        has_failed = verification is not None and verification.failure is not None
        return BackupCondition(verification, is_damaged=has_failed or bool(found))

    async def _add(self, project: str, kind: JobKind, request: dict[str, object]) -> Job:
        job = Job(str(uuid4()), project, kind, None, JobState.QUEUED, self.clock.now(), request)
        await self.catalog.add_job(job)
        self.wake()
        return job
