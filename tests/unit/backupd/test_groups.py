"""Several backups of one instant: all of them or none, whatever comes in between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from backupd.catalog.store import Catalog
from backupd.jobs.backup import BackupBody
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import Backup, BackupMode, BackupState, Job, JobKind, JobState, Volume
from chunker.sources.base import PointInTime
from chunker.sources.memory import MemoryVolume
from targets.base import Body
from targets.errors import Unavailable
from targets.memory import MemoryTarget
from tests.support.builders import LEASE_S, PROJECT, add_available, add_volume, claim, finish, make_backup, make_job
from tests.support.catalogs import open_catalog
from tests.support.jobs import job_resources
from tests.support.rig import CountedPoint
from tests.support.virtual_clock import VirtualClock

CHUNK_BYTES = 64 * 1024


class Died(BaseException):
    """The process is gone."""


class Mortal(MemoryTarget):
    """Fails at the manifest of that number."""

    failure: type[BaseException] | None = None
    fails_at = 0

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        if "manifests/" in key and self.failure is not None:
            self.fails_at -= 1
            if self.fails_at == 0:
                raise self.failure("as asked for")
        await super().put(key, body, if_absent=if_absent)

    async def manifests(self) -> list[str]:
        return [info.key async for info in self.list("") if "manifests/" in info.key]


@dataclass
class Group:
    catalog: Catalog
    resources: Resources
    target: Mortal
    volumes: list[Volume]
    disks: dict[str, MemoryVolume]
    opened: int = 0
    backups: list[Backup] = field(default_factory=list)

    async def ask(self) -> Job:
        self.backups = [make_backup(one, chunk_size_bytes=CHUNK_BYTES) for one in self.volumes]
        job = make_job(self.backups[0], JobKind.BACKUP)
        await self.catalog.create_group([(one, ()) for one in self.backups], job)
        return job

    async def attempt(self, job: Job) -> Job:
        """Run the job for as long as it lives."""
        claimed = await claim(self.catalog, job)
        await BackupBody(self.resources)(claimed, JobRun(self.catalog, claimed, LEASE_S))
        return claimed

    def open(self, volumes: Sequence[Volume]) -> Sequence[PointInTime]:
        self.opened += 1
        return [self.disks[volume.id].open() for volume in volumes]

    async def states(self) -> list[BackupState]:
        return [(await self.catalog.backup(PROJECT, one.id)).state for one in self.backups]


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    clock, target = VirtualClock(), Mortal()
    async with open_catalog(tmp_path / "catalog.sqlite", clock) as catalog:
        volumes = [await add_volume(catalog) for _ in range(2)]
        disks = {volume.id: MemoryVolume(4 * CHUNK_BYTES, seed=seed) for seed, volume in enumerate(volumes)}
        source = disks[volumes[0].id]
        async with job_resources(tmp_path / "indexes", catalog, clock, target=target, source=source) as resources:
            found = Group(catalog, resources, target, volumes, disks)
            found.resources = replace(resources, open_group=found.open)
            yield found


async def test_one_job_publishes_a_backup_of_each_volume_of_one_opening(group: Group) -> None:
    job = await group.attempt(await group.ask())
    await finish(group.catalog, job, JobState.SUCCEEDED)
    assert await group.states() == [BackupState.AVAILABLE] * 2
    assert group.opened == 1
    first, second = group.backups
    assert await group.catalog.taken_with(first.id) == [second.id]


async def test_a_failure_at_the_second_manifest_leaves_neither(group: Group) -> None:
    group.target.failure, group.target.fails_at = Unavailable, 2
    job = await group.ask()
    with pytest.raises(Unavailable):
        await group.attempt(job)
    assert await group.target.manifests() == []


async def test_p4_crash_between_two_manifests_takes_both_anew_at_one_instant(group: Group) -> None:
    group.target.failure, group.target.fails_at = Died, 2
    job = await group.ask()
    with pytest.raises(Died):
        await group.attempt(job)
    (torn,) = await group.target.manifests()
    await group.catalog.release_leases("node-a")
    group.target.failure = None
    await group.attempt(job)
    assert group.opened == 2
    assert torn in await group.target.manifests()
    assert await group.states() == [BackupState.AVAILABLE] * 2
    for backup in group.backups:
        shown = await group.catalog.backup(PROJECT, backup.id)
        assert shown.finished_at is not None


class Ended(CountedPoint):
    """Remembers how it ended."""

    def __init__(self, inner: PointInTime, ends: list[str]) -> None:
        super().__init__(inner)
        self._ends = ends

    def rollback(self) -> None:
        self._ends.append("rollback")

    def close(self) -> None:
        self._ends.append("close")


async def test_a_job_that_is_cancelled_while_volumes_are_frozen_leaves_none_frozen(group: Group) -> None:
    loop, ends = asyncio.get_running_loop(), list[str]()
    begun, may_open = asyncio.Event(), threading.Event()

    def open_late(volumes: Sequence[Volume]) -> Sequence[PointInTime]:
        loop.call_soon_threadsafe(begun.set)
        assert may_open.wait(10)
        return [Ended(point, ends) for point in group.open(volumes)]

    group.resources = replace(group.resources, open_group=open_late)
    job = await group.ask()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(group.attempt(job))
        await begun.wait()
        running.cancel()
        may_open.set()
    assert running.cancelled()
    assert sorted(ends) == ["close", "close", "rollback", "rollback"]


async def test_a_group_that_fails_leaves_all_its_backups_in_error(group: Group) -> None:
    job = await claim(group.catalog, await group.ask())
    await finish(group.catalog, job, JobState.FAILED)
    assert await group.states() == [BackupState.ERROR] * 2


async def test_the_parent_of_any_of_a_group_is_not_deleted_meanwhile(group: Group) -> None:
    parent = await add_available(group.catalog, group.volumes[0], chunk_size_bytes=CHUNK_BYTES)
    other = make_backup(group.volumes[1])
    child = make_backup(group.volumes[0], mode=BackupMode.INCREMENTAL, parent_id=parent.id)
    job = make_job(other, JobKind.BACKUP)
    await group.catalog.create_group([(other, ()), (child, ())], job)
    deletion = make_job(parent, JobKind.DELETE)
    await group.catalog.begin_delete(parent.id, deletion)
    claimed = await claim(group.catalog, job)
    assert await group.catalog.claim_job("node-b", LEASE_S) is None
    await finish(group.catalog, claimed, JobState.FAILED)
    await claim(group.catalog, deletion)
