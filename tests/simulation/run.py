"""One run: a few hours in the life of daemons, volumes and a target, all of it drawn from one seed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from backupd.catalog.store import Catalog
from backupd.errors import Conflict
from backupd.model import Backup, BackupMode, BackupState, BackupType, Job, JobKind, JobState, Volume
from chunker.sources.base import Source
from targets.errors import QuotaExceeded, Throttled
from targets.wrappers.faults import Effect, Fault
from tests.simulation import invariants, stored
from tests.simulation.daemon import LEASE_S, TARGET, Daemon, Shared
from tests.simulation.guests import Copy, Guest
from tests.support.simulated_loop import SimulatedLoop

PROJECT = "default"
STEPS = 60
_QUIET_S_MAX = 4 * 3600


class Run:
    """The driver: it does what operators, guests and bad luck do, and checks after each step."""

    def __init__(self, directory: Path) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        self.random = loop.random
        self.faults = self._draw_faults()
        self.shared = Shared(directory, loop, self._open_source, self.faults)
        self.guests: dict[str, Guest] = {}
        self.daemons: list[Daemon] = []
        self.dead: list[Daemon] = []
        self.expected: dict[str, Copy] = {}
        self.trace: list[str] = []

    async def run(self) -> None:
        """Play, let everything come to its end, and check."""
        self.catalog = await Catalog.open(self.shared.catalog_url, self.shared.clock)
        await self._add_volumes()
        async with asyncio.TaskGroup() as self.lives:
            for _ in range(self.random.choice([1, 1, 2])):
                await self._start_daemon()
            for _ in range(STEPS):
                await self._step()
                await invariants.check_always(self)
            await self._come_to_rest()
            await invariants.check_at_rest(self)
            await self._end()
        await self.catalog.aclose()

    def new_id(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def restore_path(self, job_id: str) -> Path:
        return self.shared.directory / job_id

    async def unfinished(self) -> list[Job]:
        return [job for job in await self.catalog.jobs(PROJECT) if not job.state.is_final]

    async def restore(self, backup: Backup) -> Job:
        """Queue a restore to a path of its own, and note what must come out of it."""
        job = self._job(backup, JobKind.RESTORE)
        self.expected[job.id] = await self._copy_of(backup)
        job.request.update(path=str(self.restore_path(job.id)), overwrite=False)
        await self.catalog.add_job(job)
        self._wake()
        return job

    async def come_to_end(self) -> None:
        """Wait until no job is left to be done."""
        deadline_s = self.shared.clock.monotonic() + _QUIET_S_MAX
        while left := await self.unfinished():
            assert self.shared.clock.monotonic() < deadline_s, f"jobs never end: {left}"
            await asyncio.sleep(LEASE_S)

    def note(self, what: str) -> None:
        self.trace.append(f"{self.shared.clock.monotonic():9.3f} {what}")

    async def _step(self) -> None:
        await asyncio.sleep(self.random.choice([0.0, 0.01, 0.05, 0.2, 1.0, 5.0, LEASE_S, 3 * LEASE_S]))
        weights = {
            self._guest_acts: 8,
            self._back_up: 8,
            self._restore: 2,
            self._verify: 1,
            self._delete: 2,
            self._cancel: 2,
            self._crash: 2,
            self._pause: 1,
            self._restart: 1,
        }
        (action,) = self.random.choices(list(weights), list(weights.values()))
        with suppress(Conflict):
            await action()

    async def _guest_acts(self) -> None:
        guest = self.random.choice(list(self.guests.values()))
        for _ in range(self.random.randint(1, 5)):
            guest.act()

    async def _back_up(self) -> None:
        volume = self.random.choice(await self.catalog.volumes(PROJECT))
        assert volume.backup_type_id is not None
        policy = await self.catalog.backup_type(volume.backup_type_id)
        parent = await self.catalog.latest_available(
            volume.id,
            targets=policy.targets,
            chunk_size_bytes=policy.chunk_size_bytes,
            is_encrypted=policy.is_encrypted,
        )
        if self.random.random() < 0.2:
            parent = None
        backup = self._backup(volume, policy, parent)
        await self.catalog.create_backup(backup, self._job(backup, JobKind.BACKUP))
        self.note(f"back up {volume.name} on top of {parent and parent.id}: {backup.id}")
        self._wake()

    async def _restore(self) -> None:
        if backup := await self._some_backup(BackupState.AVAILABLE):
            self.note(f"restore {backup.id}")
            await self.restore(backup)

    async def _verify(self) -> None:
        if backup := await self._some_backup(BackupState.AVAILABLE):
            await self.catalog.add_job(self._job(backup, JobKind.VERIFY))
            self._wake()

    async def _delete(self) -> None:
        if backup := await self._some_backup(BackupState.AVAILABLE, BackupState.ERROR):
            self.note(f"delete {backup.id}, which is {backup.state}")
            await self.catalog.begin_delete(backup.id, self._job(backup, JobKind.DELETE))
            self._wake()

    async def _cancel(self) -> None:
        if jobs := await self.unfinished():
            job = self.random.choice(jobs)
            self.note(f"cancel {job.kind} of {job.backup_id}, which is {job.state}")
            await self.catalog.request_cancel(PROJECT, job.id)
            self._wake()

    async def _crash(self) -> None:
        daemon = self.random.choice(self.daemons)
        self.note(f"crash {daemon.name}")
        daemon.crash()
        self.daemons.remove(daemon)
        self.dead.append(daemon)
        await asyncio.sleep(self.random.choice([0.0, 1.0, LEASE_S]))
        await self._start_daemon(daemon.name if self.random.random() < 0.5 else None)

    async def _pause(self) -> None:
        daemon = self.random.choice(self.daemons)
        self.note(f"suspend {daemon.name}")
        daemon.pause()
        if len(self.daemons) == 1:
            await self._start_daemon()
        await asyncio.sleep(self.random.choice([1.0, LEASE_S / 2, 2 * LEASE_S, 4 * LEASE_S]))
        self.note(f"resume {daemon.name}")
        daemon.resume()

    async def _restart(self) -> None:
        daemon = self.random.choice(self.daemons)
        self.note(f"restart {daemon.name}")
        await daemon.stop()
        self._check_budgets(daemon)
        self.daemons.remove(daemon)
        await self._start_daemon(daemon.name)

    async def _start_daemon(self, name: str | None = None) -> None:
        daemon = Daemon(self.shared, name or f"node-{len(self.daemons) + len(self.dead)}")
        self.daemons.append(daemon)
        await daemon.start(self.lives)

    async def _come_to_rest(self) -> None:
        self.note("nothing goes wrong any more")
        self.faults.clear()
        await self.come_to_end()

    async def _end(self) -> None:
        for daemon in self.daemons:
            await daemon.stop()
            self._check_budgets(daemon)
        for daemon in self.dead:
            await daemon.bury()

    def _check_budgets(self, daemon: Daemon) -> None:
        assert all(budget.used_bytes == 0 for budget in daemon.budgets), "buffers were not given back"
        assert all(budget.used_bytes_max <= budget.limit_bytes for budget in daemon.budgets)

    def _wake(self) -> None:
        for daemon in self.daemons:
            daemon.wake()

    async def _some_backup(self, *states: BackupState) -> Backup | None:
        backups = [backup for backup in await self.catalog.backups(PROJECT) if backup.state in states]
        return self.random.choice(backups) if backups else None

    def _open_source(self, volume: Volume) -> Source:
        return self.guests[volume.id]

    async def _add_volumes(self) -> None:
        for number in range(self.random.choice([1, 2])):
            policy = BackupType(
                id=self.new_id(),
                name=f"type-{number}",
                target=TARGET,
                created_at=self.shared.clock.now(),
                chunk_size_bytes=self.random.choice([64, 64, 256]) * 1024,
                is_encrypted=self.random.random() < 0.7,
                is_deduplicated=self.random.random() < 0.7,
            )
            await self.catalog.add_backup_type(policy)
            volume = Volume(self.new_id(), PROJECT, f"disk-{number}", "memory", policy.id, self.shared.clock.now())
            await self.catalog.add_volume(volume)
            self.guests[volume.id] = Guest(self.random, identity=f"memory:{number}")

    async def _copy_of(self, backup: Backup) -> Copy:
        """Return what the volume held when the point was taken that was published."""
        manifest = await stored.manifest(self.shared, backup)
        assert manifest is not None, backup
        return self.guests[backup.volume_id].copies[manifest.source_token]

    def _backup(self, volume: Volume, policy: BackupType, parent: Backup | None) -> Backup:
        return Backup(
            id=self.new_id(),
            project=PROJECT,
            volume_id=volume.id,
            name="backup",
            mode=BackupMode.INCREMENTAL if parent else BackupMode.FULL,
            target=policy.target,
            chunk_size_bytes=policy.chunk_size_bytes,
            compression_level=policy.compression_level,
            is_encrypted=policy.is_encrypted,
            is_deduplicated=policy.is_deduplicated,
            state=BackupState.CREATING,
            # Two never have the same time, or it would be anybody's guess which is the latest.
            created_at=self.shared.clock.now() + timedelta(microseconds=len(self.trace)),
            parent_id=parent.id if parent else None,
        )

    def _job(self, backup: Backup, kind: JobKind) -> Job:
        now = self.shared.clock.now()
        request: dict[str, Any] = {}
        return Job(self.new_id(), PROJECT, kind, backup.id, JobState.QUEUED, now, request)

    def _draw_faults(self) -> list[Fault]:
        """Return what may go wrong in this run; the list is emptied when the run comes to rest."""
        rate = self.random.choice([0.0, 0.02, 0.1])
        faults = [
            Fault(effect=Effect.ERROR, probability=rate),
            Fault(effect=Effect.ERROR, probability=rate, error=Throttled),
            Fault(effect=Effect.LOST_RESPONSE, probability=rate),
            Fault(effect=Effect.LATENCY, probability=0.3, latency_s=self.random.choice([0.01, 0.5, 20.0])),
            Fault(effect=Effect.HANG, probability=rate / 2),
            Fault(effect=Effect.BIT_FLIP, probability=rate / 4),
            Fault(effect=Effect.ERROR, probability=rate / 4, operation="put", error=QuotaExceeded),
        ]
        return [fault for fault in faults if fault.probability]


async def simulate(directory: Path) -> None:
    """Do one run; an AssertionError has the trace as a note."""
    run = Run(directory)
    try:
        await run.run()
    except BaseException as error:
        error.add_note("\n".join(["what happened:", *run.trace]))
        raise
