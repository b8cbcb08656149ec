"""Manifests that are stored after their backup was deleted: they hinder no collection, and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backupd.errors import LeaseLost
from backupd.jobs.copy import CopyBody
from backupd.model import Backup, Job, JobKind
from backupd.repository import layout, writer
from backupd.repository.writer import Writer
from targets.base import Body
from targets.memory import MemoryTarget
from tests.support.builders import make_job
from tests.support.yard import Yard, yard


class Held(MemoryTarget):
    """Stores the first manifest that it is given only when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.has_been_asked, self.may_store = asyncio.Event(), asyncio.Event()

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        if layout.MANIFESTS in key and not self.has_been_asked.is_set():
            self.has_been_asked.set()
            await self.may_store.wait()
        await super().put(key, body, if_absent=if_absent)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Yard]:
    async with yard(tmp_path, stores={"local": MemoryTarget(), "other": Held()}) as place:
        yield place


async def suspended(place: Yard, job: Job) -> None:
    """Do a copy, and learn at its end that it was another worker's."""
    with pytest.raises(LeaseLost):
        await CopyBody(place.resources)(job, place.run_of(job))


async def copy_too_late(place: Yard, *, is_collected: bool) -> Backup:
    """Let a copy be suspended before its manifest while another worker does it and the backup is deleted."""
    backup = await place.back_up(await place.add_disk(20, seed=1))
    held = place.stores["other"]
    assert isinstance(held, Held)
    await place.catalog.add_job(make_job(backup, JobKind.COPY, request={"target": "other"}))
    async with asyncio.TaskGroup() as attempts:
        attempts.create_task(suspended(place, await place.claim()))
        await held.has_been_asked.wait()
        await place.catalog.release_leases("worker")
        await place.do()
        await place.delete(backup)
        if is_collected:
            assert (await place.collect(target="other")).deleted
        held.may_store.set()
    assert await place.keys(layout.MANIFESTS, "other") == {layout.manifest(backup.id)}
    return backup


@pytest.mark.parametrize("is_collected", [False, True])
async def test_a_manifest_that_a_copy_stores_after_the_deletion_is_removed_by_the_next_collection(
    place: Yard, is_collected: bool
) -> None:
    await copy_too_late(place, is_collected=is_collected)
    kept = await place.back_up(await place.add_disk(20, seed=2))
    await place.copy(kept, "other")
    await place.collect(target="other")
    assert await place.keys(layout.MANIFESTS, "other") == {layout.manifest(kept.id)}
    await place.check("other")
    assert len(await place.keys(target="other")) == 2


async def test_a_dry_run_passes_over_a_manifest_that_came_late_and_leaves_it(place: Yard) -> None:
    backup = await copy_too_late(place, is_collected=True)
    await place.collect(target="other", dry_run=True)
    assert await place.keys(layout.MANIFESTS, "other") == {layout.manifest(backup.id)}


async def test_a_manifest_that_came_late_stays_where_a_daemon_of_another_catalog_writes(place: Yard) -> None:
    backup = await copy_too_late(place, is_collected=False)
    stranger = "ab" * 16
    await (await place.repository("other")).target.put(
        layout.writer(stranger), writer.encode(Writer(stranger, "stranger"))
    )
    assert (await place.collect(target="other")).foreign_writers
    assert await place.keys(layout.MANIFESTS, "other") == {layout.manifest(backup.id)}


async def test_p2_keep_a_manifest_that_the_catalog_knows_nothing_of_stays(place: Yard, tmp_path: Path) -> None:
    await place.back_up(await place.add_disk(20, seed=1))
    gone = await place.catalog.collections.catalog_id()
    async with yard(tmp_path, stores=place.stores, name="later") as later:
        assert (await later.collect(forget=gone)).deleted == 0
    await place.check()
