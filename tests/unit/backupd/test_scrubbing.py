from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backupd.config import TargetConfig
from backupd.jobs.scrubbing import Scrubbing
from backupd.model import JobKind, JobState, Progress
from tests.support.builders import LEASE_S, PROJECT, add_available, add_volume
from tests.support.catalogs import WatchedCatalog, open_catalog
from tests.support.virtual_clock import VirtualClock

DAY_S = 86400.0
TARGETS = {
    "local": TargetConfig(name="local", url="file:///srv/backups", scrub_bytes_per_day=1000),
    "other": TargetConfig(name="other", url="file:///srv/other"),
}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def catalog(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[WatchedCatalog]:
    async with open_catalog(tmp_path / "catalog.sqlite", clock) as catalog:
        await add_available(catalog)
        yield catalog


def scrubbing(catalog: WatchedCatalog, clock: VirtualClock) -> Scrubbing:
    return Scrubbing(catalog, clock, TARGETS, wake=lambda: None)


async def end(catalog: WatchedCatalog) -> None:
    job = await catalog.claim_job("worker", LEASE_S, kinds=[JobKind.SCRUB])
    assert job is not None
    await catalog.finish_job(job.id, job.fence, JobState.SUCCEEDED, None, Progress())


async def test_a_target_with_a_budget_is_scrubbed_at_once_when_it_never_was(
    catalog: WatchedCatalog, clock: VirtualClock
) -> None:
    assert await scrubbing(catalog, clock).look() == 1
    (job,) = await catalog.jobs(PROJECT, kind=JobKind.SCRUB)
    assert (job.request["target"], job.request["bytes_max"], job.request["with_keys"]) == ("local", 1000, True)


async def test_it_is_scrubbed_once_a_day_also_by_a_daemon_that_was_restarted(
    catalog: WatchedCatalog, clock: VirtualClock
) -> None:
    await scrubbing(catalog, clock).look()
    await end(catalog)
    clock.advance(DAY_S - 1)
    assert await scrubbing(catalog, clock).look() == 0
    clock.advance(1)
    assert await scrubbing(catalog, clock).look() == 1


async def test_a_scrub_that_takes_longer_than_a_day_is_not_joined_by_another(
    catalog: WatchedCatalog, clock: VirtualClock
) -> None:
    await scrubbing(catalog, clock).look()
    clock.advance(3 * DAY_S)
    assert await scrubbing(catalog, clock).look() == 0


async def test_a_target_where_nobody_has_stored_anything_is_left_alone(tmp_path: Path, clock: VirtualClock) -> None:
    async with open_catalog(tmp_path / "empty.sqlite", clock) as catalog:
        assert await scrubbing(catalog, clock).look() == 0


async def test_every_project_is_scrubbed_by_its_share_of_what_the_target_holds(
    catalog: WatchedCatalog, clock: VirtualClock
) -> None:
    for project, size_bytes in (("default", 300), ("small", 100), ("new", 0)):
        await add_available(catalog, await add_volume(catalog, project=project))
        if size_bytes:
            folder = f"{project}/encrypted/packs/"
            await catalog.condition.note_objects("local", folder, folder, {f"{folder}00": size_bytes})
    assert await scrubbing(catalog, clock).look() == 3
    assert await scrubbing(catalog, clock).look() == 0
    jobs = [(await catalog.jobs(one, kind=JobKind.SCRUB))[0] for one in ("default", "small", "new")]
    assert [job.request["bytes_max"] for job in jobs] == [500, 166, 333]
