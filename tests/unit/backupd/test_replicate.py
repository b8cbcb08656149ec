"""Replications: what they rely on, and what they leave out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backupd.errors import CorruptObject
from backupd.model import BackupState, CopyState, JobKind, JobState
from backupd.repository import layout
from targets.memory import MemoryTarget
from tests.support.builders import LEASE_S, PROJECT
from tests.support.yard import Forgetful, Ghosts, Yard, yard


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Yard]:
    async with yard(tmp_path) as place:
        yield place


async def test_p2_keep_a_listing_of_the_destination_that_shows_what_was_deleted_misleads_no_replication(
    tmp_path: Path,
) -> None:
    async with yard(tmp_path, stores={"local": MemoryTarget(), "other": Ghosts(MemoryTarget())}) as place:
        backup = await place.back_up(await place.add_disk(20, seed=1))
        await place.replicate("local", "other")
        await place.forget_copy(backup, "other")
        await (await place.repository("other")).target.delete(layout.manifest(backup.id))
        assert (await place.collect(target="other")).deleted
        await place.replicate("local", "other")
        await place.check("other")


@pytest.mark.parametrize("missed", [layout.PACKS, layout.FORWARDS, layout.MANIFESTS])
async def test_p2_keep_a_listing_of_the_source_that_misses_something_misleads_no_replication(
    tmp_path: Path, missed: str
) -> None:
    store = Forgetful(MemoryTarget())
    async with yard(tmp_path, stores={"local": store, "other": MemoryTarget()}) as place:
        backup = await place.back_up(await place.add_disk(20, seed=1))
        store.missed, store.is_stale = missed, True
        await place.replicate("local", "other")
        await place.check("other")
        assert CopyState.COMPLETE in [
            one.state for one in await place.catalog.copies(backup.id) if one.target == "other"
        ]


@pytest.mark.parametrize("kind", [JobKind.COPY, JobKind.REPLICATE])
async def test_p2_keep_a_parent_whose_deletion_came_to_nothing_is_not_relied_on(place: Yard, kind: JobKind) -> None:
    disk = await place.add_disk(20, seed=1)
    parent = await place.back_up(disk)
    await place.copy(parent, "other")
    disk.memory.write(0, b"new")
    backup = await place.back_up(disk, parent)
    disk.content.pop(parent.id)
    deletion = await place.claim_of(await place.request_delete(parent))
    await (await place.repository("other")).target.delete(layout.manifest(parent.id))
    await place.end(deletion, JobState.FAILED)
    assert (await place.collect(target="other")).deleted
    if kind is JobKind.COPY:
        await place.copy(backup, "other")
    else:
        await place.replicate("local", "other")
    await place.check("other")


async def test_a_backup_that_is_being_deleted_is_not_replicated(place: Yard) -> None:
    disk = await place.add_disk(20, seed=1)
    gone, kept = await place.back_up(disk), await place.back_up(disk)
    await place.request_delete(gone)
    await place.replicate("local", "other")
    assert await place.keys(layout.MANIFESTS, "other") == {layout.manifest(kept.id)}


async def test_a_deletion_waits_while_a_replication_is_at_the_backup(place: Yard) -> None:
    disk = await place.add_disk(20, seed=1)
    first, second = await place.back_up(disk), await place.back_up(disk)
    job = await place.request_replication("local", "other")
    claimed = await place.claim_of(job)
    assert await place.catalog.turn_to(first.id, job_id=job.id, fence=claimed.fence)
    deletion = await place.request_delete(first)
    assert await place.catalog.claim_job("worker", LEASE_S) is None
    assert await place.catalog.turn_to(second.id, job_id=job.id, fence=claimed.fence)
    await place.claim_of(deletion)
    assert not await place.catalog.turn_to(first.id, job_id=job.id, fence=claimed.fence)


async def test_p3_tell_a_damaged_backup_fails_a_replication_and_keeps_no_other_one_from_being_copied(
    place: Yard,
) -> None:
    damaged = await place.back_up(await place.add_disk(20, seed=1))
    repository = await place.repository()
    for key in await place.keys():
        body = await repository.target.get(key)
        await repository.target.put(key, bytes([body[0] ^ 1, *body[1:]]))
    whole = await place.back_up(await place.add_disk(20, seed=2))
    job = await place.claim_of(await place.request_replication("local", "other"))
    with pytest.raises(ExceptionGroup) as failed:
        await place.bodies[job.kind](job, place.run_of(job))
    assert failed.group_contains(CorruptObject)
    assert await place.keys(layout.MANIFESTS, "other") == {layout.manifest(whole.id)}
    assert (await place.catalog.backup(PROJECT, damaged.id)).state is BackupState.AVAILABLE
