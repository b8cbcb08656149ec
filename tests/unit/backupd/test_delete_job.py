from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backupd.catalog.store import Catalog
from backupd.config import AuditConfig
from backupd.jobs.delete import DeleteBody
from backupd.jobs.failure import failure_of
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import Backup, JobKind, JobState, Progress
from backupd.pipeline.workers import Workers
from backupd.repository import layout
from backupd.repository.keyring import Keyring
from backupd.repository.opened import Repositories
from chunker.sources.open import open_source
from targets.base import Target
from targets.errors import TargetError
from targets.memory import MemoryTarget
from targets.wrappers.faults import Effect, Fault, Faults
from targets.wrappers.prefix import Prefix
from tests.support.builders import PROJECT, add_available, add_volume, make_job
from tests.support.catalogs import open_catalog
from tests.support.virtual_clock import VirtualClock


@dataclass(frozen=True, slots=True)
class Deleting:
    """A backup that is available on one target."""

    catalog: Catalog
    backup: Backup
    stored: MemoryTarget
    indexes: Path

    async def run(self, *faults: Fault, attempts: int = 1, is_given_back: bool = False) -> JobState:
        """Delete the backup on a target with faults, at the last of so many attempts, and return what became of it."""
        job = make_job(self.backup, JobKind.DELETE)
        await self.catalog.begin_delete(self.backup.id, job)
        for _ in range(attempts - 1):
            died = await self.catalog.claim_job("worker", 60.0)
            assert died is not None
            if is_given_back:
                await self.catalog.keep_backup(self.backup.id, job_id=died.id, fence=died.fence)
            await self.catalog.release_leases("worker")
        claimed = await self.catalog.claim_job("worker", 60.0)
        assert claimed is not None
        targets: dict[str, Target] = {name: Faults(self.stored, faults) for name in self.backup.targets}
        clock = VirtualClock()
        repositories = Repositories(targets, Keyring([bytes(32)], origin="test"), clock, self.indexes)
        workers = Workers(1)
        resources = Resources(
            self.catalog,
            clock,
            repositories,
            workers,
            lambda volume: open_source(volume.source),
            lambda _p, _o: None,
            lambda _p: None,
            0,
            AuditConfig(),
        )
        state, failure = JobState.SUCCEEDED, None
        try:
            await DeleteBody(resources)(claimed, JobRun(self.catalog, claimed, 60.0))
        except TargetError as error:
            state, failure = JobState.FAILED, failure_of(error)
        finally:
            workers.close()
        await self.catalog.finish_job(claimed.id, claimed.fence, state, failure, Progress())
        return (await self.catalog.job(PROJECT, claimed.id)).state

    async def state(self) -> str:
        return (await self.catalog.backup(PROJECT, self.backup.id)).state


@pytest.fixture
async def deleting(tmp_path: Path) -> AsyncIterator[Deleting]:
    async with open_catalog(tmp_path / "catalog.sqlite", VirtualClock()) as catalog:
        backup = await add_available(catalog, await add_volume(catalog))
        stored = MemoryTarget()
        scoped = Prefix(stored, layout.prefix(backup.project, is_encrypted=backup.is_encrypted))
        await scoped.put(layout.manifest(backup.id), b"manifest")
        yield Deleting(catalog, backup, stored, tmp_path / "indexes")


DOWN = Fault(operation=None)
REFUSED = Fault(operation="delete")
UNKNOWN = Fault(operation="delete", effect=Effect.LOST_RESPONSE)


@pytest.mark.parametrize("fault", [DOWN, REFUSED])
async def test_a_deletion_that_removed_nothing_leaves_the_backup_as_it_was(deleting: Deleting, fault: Fault) -> None:
    assert await deleting.run(fault) == "failed"
    assert await deleting.state() == "available"


async def test_a_deletion_that_failed_after_it_had_removed_a_manifest_leaves_an_error(deleting: Deleting) -> None:
    assert await deleting.run(UNKNOWN) == "failed"
    assert await deleting.state() == "error"


async def test_a_target_that_is_down_at_a_later_attempt_leaves_an_error(deleting: Deleting) -> None:
    assert await deleting.run(DOWN, attempts=2) == "failed"
    assert await deleting.state() == "error"


async def test_p2_keep_what_an_earlier_attempt_gave_back_is_not_removed(deleting: Deleting) -> None:
    assert await deleting.run(attempts=2, is_given_back=True) == "failed"
    assert await deleting.state() == "available"
    assert [info.key async for info in deleting.stored.list("")]
    assert [one.backup_id for one in await deleting.catalog.failed_deletions()] == [deleting.backup.id]


@pytest.mark.parametrize("fault", [REFUSED, UNKNOWN])
async def test_what_failed_is_deleted_again(deleting: Deleting, fault: Fault) -> None:
    await deleting.run(fault)
    assert await deleting.run() == "succeeded"
    assert await deleting.state() == "deleted"
