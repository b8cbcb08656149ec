"""What a collection does with a repository that nobody else works on meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import update

from backupd.catalog.tables import backup_copies
from backupd.errors import CorruptObject
from backupd.jobs.failure import causes
from backupd.model import CopyState, JobKind, JobState
from backupd.repository import layout
from targets.base import Body, Leaving, Target
from targets.errors import Unavailable
from tests.support.builders import make_job
from tests.support.yard import CHUNK_BYTES, Forgetful, Ghosts, Yard, yard


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Yard]:
    async with yard(tmp_path) as made:
        yield made


async def test_p2_keep_the_packs_of_backups_stay_and_those_of_deleted_ones_go(place: Yard) -> None:
    kept = await place.back_up(await place.add_disk(20, seed=1))
    packs = await place.keys()
    gone = await place.back_up(await place.add_disk(20, seed=2))
    await place.delete(gone)
    report = await place.collect()
    assert (report.packs, report.live_packs, report.condemned, report.deleted) == (4, 2, 2, 2)
    assert await place.keys() == packs
    assert kept.id in str(await place.keys(layout.MANIFESTS))
    await place.check()


async def test_a_collection_leaves_nothing_of_its_own(place: Yard) -> None:
    await place.delete(await place.back_up(await place.add_disk(20, seed=2)))
    await place.collect()
    assert await place.keys("") == {layout.REPOSITORY, *await place.keys(layout.WRITERS)}
    assert [*place.root.glob("collections/*")] == []


async def test_what_is_freed_is_told(place: Yard) -> None:
    await place.delete(await place.back_up(await place.add_disk(20, seed=2)))
    stored_bytes = await place.stored_bytes()
    assert (await place.collect()).freed_bytes == stored_bytes > 20 * CHUNK_BYTES


async def test_a_dry_run_says_what_would_go_and_why_and_changes_nothing(place: Yard) -> None:
    await place.back_up(await place.add_disk(20, seed=1))
    live = await place.keys()
    await place.delete(await place.back_up(await place.add_disk(20, seed=2)))
    stored = await place.keys("")
    report = await place.collect(dry_run=True)
    assert await place.keys("") == stored
    assert {one.key.removeprefix("default/encrypted/") for one in report.findings} == await place.keys() - live
    assert {one.reason for one in report.findings} == {"dead"}
    assert report.is_dry_run
    assert not await place.catalog.collections.pending()


async def test_packs_of_a_backup_that_came_to_nothing_are_orphans(place: Yard) -> None:
    await place.back_up(await place.add_disk(1, seed=1))
    disk = await place.add_disk(20, seed=2)
    disk.memory.fail_reads_at(19 * CHUNK_BYTES)
    job = await place.claim_of(await place.request_backup(disk))
    with pytest.raises(ExceptionGroup):
        await place.do(job)
    repository = await place.repository()
    await place.catalog.record_packs(job.id, ["ab" * 16])
    await repository.put_pack(b"\xab" * 16, memoryview(b"left by an attempt"))
    assert (await place.collect()).condemned == 0  # The job may be tried again.
    await place.end(job, JobState.FAILED)
    report = await place.collect()
    assert [(one.reason, one.size_bytes) for one in report.findings] == [("orphan", 18)]
    assert not await repository.has_pack(b"\xab" * 16)


async def test_p2_keep_compaction_moves_what_lives_and_every_backup_restores(place: Yard) -> None:
    disk = await place.add_disk(40, seed=1)
    first = await place.back_up(disk)
    disk.memory.write(10 * CHUNK_BYTES, bytes(range(256)) * 30 * (CHUNK_BYTES // 256))
    second = await place.back_up(disk, first)
    await place.delete(first)
    before = await place.stored_bytes()
    report = await place.collect()
    assert report.compacted >= 1
    assert report.moved_bytes > 10 * CHUNK_BYTES
    assert await place.stored_bytes() == before - report.freed_bytes < before
    assert await place.keys(layout.FORWARDS)
    await place.check()
    assert disk.content.keys() == {second.id}


async def test_p2_keep_a_chain_of_compactions_is_followed_and_goes_with_the_last_backup(place: Yard) -> None:
    disk = await place.add_disk(60, seed=1)
    last = await place.back_up(disk)
    for step in range(1, 4):
        disk.memory.write(0, bytes([step]) * (60 - 20 // step) * CHUNK_BYTES)
        before, last = last, await place.back_up(disk, last)
        await place.delete(before)
        await place.collect()
        await place.check()
    assert len(await place.keys(layout.FORWARDS)) > 1
    await place.delete(last)
    await place.collect()
    assert await place.keys("") == {layout.REPOSITORY, *await place.keys(layout.WRITERS)}


async def test_an_incremental_on_top_of_what_was_compacted_stores_only_what_is_new(place: Yard) -> None:
    disk = await place.add_disk(40, seed=1)
    first = await place.back_up(disk)
    disk.memory.write(10 * CHUNK_BYTES, bytes([7]) * 30 * CHUNK_BYTES)
    second = await place.back_up(disk, first)
    await place.delete(first)
    assert (await place.collect()).compacted
    disk.memory.identity = second.id  # Nothing is known of its changes any more, so all of it is read.
    third = await place.back_up(disk, second)
    assert third.statistics is not None
    assert (third.statistics.new_chunks, third.statistics.unchanged_chunks) == (0, 40)
    await place.check()


async def test_chunks_that_were_moved_are_found_again(place: Yard) -> None:
    disk = await place.add_disk(40, seed=1)
    first = await place.back_up(disk)
    disk.memory.write(10 * CHUNK_BYTES, bytes([7]) * 30 * CHUNK_BYTES)
    await place.back_up(disk, first)
    await place.delete(first)
    assert (await place.collect()).compacted
    full = await place.back_up(disk)
    assert full.statistics is not None
    assert full.statistics.new_chunks == 0
    await place.check()


@pytest.mark.parametrize("is_whole", [False, True])
async def test_p2_keep_what_was_compacted_here_is_copied_elsewhere(place: Yard, is_whole: bool) -> None:
    disk = await place.add_disk(40, seed=1)
    first = await place.back_up(disk)
    disk.memory.write(10 * CHUNK_BYTES, bytes([7]) * 30 * CHUNK_BYTES)
    second = await place.back_up(disk, first)
    await place.delete(first)
    assert (await place.collect()).compacted
    if is_whole:
        await place.replicate("local", "other")
    else:
        await place.copy(second, "other")
    await place.check("other")
    report = await place.collect(target="other")
    assert report.deleted == 0
    await place.check("other")


async def test_each_target_of_a_backup_is_collected_by_itself(place: Yard) -> None:
    disk = await place.add_disk(40, seed=1)
    first = await place.back_up(disk, copies=("other",), quorum=2)
    disk.memory.write(10 * CHUNK_BYTES, bytes([7]) * 30 * CHUNK_BYTES)
    second = await place.back_up(disk, first, copies=("other",), quorum=2)
    await place.delete(first)
    assert (await place.collect()).compacted
    disk.memory.write(0, bytes([9]) * CHUNK_BYTES)
    await place.back_up(disk, second, copies=("other",), quorum=2)
    for target in ("local", "other"):
        await place.check(target)
    assert (await place.collect(target="other")).compacted
    for target in ("local", "other"):
        await place.check(target)


async def test_nothing_is_collected_while_a_tree_cannot_be_read(place: Yard) -> None:
    await place.back_up(await place.add_disk(20, seed=1))
    await place.delete(await place.back_up(await place.add_disk(20, seed=2)))
    packs = await place.keys()
    repository = await place.repository()
    nodes = min([info async for info in repository.target.list(layout.PACKS)], key=lambda info: info.size_bytes)
    await place.collect(dry_run=True)
    kept = (await place.collect(dry_run=True)).findings
    if nodes.key in {one.key.removeprefix("default/encrypted/") for one in kept}:
        nodes = sorted([info async for info in repository.target.list(layout.PACKS)], key=lambda info: info.size_bytes)[
            1
        ]
    await repository.target.delete(nodes.key)
    with pytest.raises(CorruptObject, match="is lost"):
        await place.collect()
    assert await place.keys() == packs - {nodes.key}


async def test_nothing_is_collected_while_a_manifest_is_lost(place: Yard) -> None:
    kept = await place.back_up(await place.add_disk(20, seed=1))
    packs = await place.keys()
    repository = await place.repository()
    body = await repository.target.get(layout.manifest(kept.id))
    await repository.target.delete(layout.manifest(kept.id))
    with pytest.raises(CorruptObject, match=f"manifests/{kept.id} is lost"):
        await place.collect()
    assert await place.keys() == packs
    await repository.target.put(layout.manifest(kept.id), body)
    await place.check()


async def test_p2_keep_a_target_that_lacks_a_parent_which_is_being_deleted_gets_nothing_on_top(place: Yard) -> None:
    disk = await place.add_disk(40, seed=1)
    first = await place.back_up(disk, copies=("other",))
    lagging = update(backup_copies).where(backup_copies.c.target == "other").values(state=CopyState.LAGGING)
    await place.catalog.collections._run(lambda connection: connection.execute(lagging))
    job = await place.request_backup(disk, first, copies=("other",))
    await place.catalog.begin_delete(first.id, make_job(first, JobKind.DELETE))
    await place.do(await place.claim_of(job))
    found = {copy.target: copy.state for copy in await place.catalog.copies(job.of_backup)}
    assert found == {"local": "complete", "other": "lagging"}


async def make_compactable(place: Yard) -> None:
    """Let most of a pack be dead."""
    disk = await place.add_disk(40, seed=1)
    first = await place.back_up(disk)
    disk.memory.write(10 * CHUNK_BYTES, bytes(range(256)) * 30 * (CHUNK_BYTES // 256))
    await place.back_up(disk, first)
    await place.delete(first)


async def make_compacted(place: Yard) -> None:
    """Let the frames of a backup be where only a forward tells."""
    await make_compactable(place)
    assert (await place.collect()).compacted


class Liar(Ghosts):
    """A target that says that it has stored what is ``lied`` about, and has not, or has stored other bytes."""

    lied = ""
    stores_other_bytes = False

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        if not self.lied or self.lied not in key:
            await self._inner.put(key, body, if_absent=if_absent)
        elif self.stores_other_bytes:
            await self._inner.put(key, bytes(len(body)), if_absent=if_absent)


@pytest.mark.parametrize("lied", [layout.PACKS, layout.FORWARDS])
@pytest.mark.parametrize("stores_other_bytes", [False, True])
async def test_p2_keep_a_target_that_lies_about_what_was_moved_loses_nothing(
    tmp_path: Path, lied: str, stores_other_bytes: bool
) -> None:
    targets: list[Liar] = []

    def lying(inner: Target) -> Target:
        targets.append(Liar(inner))
        return targets[-1]

    async with yard(tmp_path, wrap=lying) as place:
        await make_compactable(place)
        for target in targets:
            target.lied, target.stores_other_bytes = lied, stores_other_bytes
        await place.request_collection()
        job = await place.claim(JobKind.COLLECT)
        with pytest.raises(Unavailable, match=r"the target (said that it stored it|has other bytes)"):
            await place.do(job)
        await place.end(job, JobState.FAILED)
        await place.check()
        for target in targets:
            target.lied = ""
        await place.collect()
        await place.check()


async def test_p2_keep_a_listing_that_shows_what_was_compacted_away_misleads_no_collection(tmp_path: Path) -> None:
    async with yard(tmp_path, wrap=Ghosts) as place:
        await make_compacted(place)
        await place.collect()
        await place.check()


@pytest.mark.parametrize("shows_ghosts", [False, True])
async def test_p2_keep_a_listing_that_misses_forwards_misleads_no_collection(
    tmp_path: Path,
    shows_ghosts: bool,
) -> None:
    targets: list[Forgetful] = []

    def forgetful(inner: Target) -> Target:
        targets.append(Forgetful(inner))
        targets[-1].shows_ghosts = shows_ghosts
        return targets[-1]

    async with yard(tmp_path, wrap=forgetful) as place:
        await make_compacted(place)
        for target in targets:
            target.is_stale = True
        await place.collect()
        await place.check()


async def test_what_is_known_of_a_forward_goes_with_it(tmp_path: Path) -> None:
    async with yard(tmp_path) as place:
        await make_compacted(place)
        collections = place.catalog.collections
        assert [len(page) async for page in collections.moved(place.name)] == [1]
        for backup in await place.catalog.backups(place.name.project):
            await place.delete(backup)
        await place.collect()
        assert [page async for page in collections.moved(place.name)] == []


async def test_p3_tell_damage_of_what_was_compacted_is_told_by_the_pack_where_it_is(place: Yard) -> None:
    disk = await place.add_disk(40, seed=1)
    first = await place.back_up(disk)
    disk.memory.write(10 * CHUNK_BYTES, bytes(range(256)) * 30 * (CHUNK_BYTES // 256))
    second = await place.back_up(disk, first)
    await place.delete(first)
    before = await place.keys()
    assert (await place.collect()).compacted
    repository = await place.repository()
    for key in await place.keys() - before:
        stored = bytearray(await repository.target.get(key))
        stored[CHUNK_BYTES // 2] ^= 1
        await repository.target.put(key, stored)
    with pytest.raises(ExceptionGroup) as caught:
        await place.restored(second.id)
    (error, *_) = causes(caught.value)
    assert isinstance(error, CorruptObject)
    assert error.pack_id is not None
    assert layout.pack(error.pack_id) in str(error)
    assert layout.pack(error.pack_id) in await place.keys() - before


async def test_leavings_of_writes_go_when_two_collections_have_seen_them_and_no_job_can_be_their_owner(
    tmp_path: Path,
) -> None:
    driver = Littered()
    async with yard(tmp_path, drivers={"local": driver}) as place:
        await place.back_up(await place.add_disk(1, seed=1))
        running = await place.claim_of(await place.request_backup(await place.add_disk(1, seed=2)))
        driver.left["default/encrypted/packs/ab/ab"] = "upload-1"
        assert [(await place.collect()).leavings, (await place.collect()).leavings] == [0, 0]
        await place.end(running, JobState.FAILED)
        driver.left["default/encrypted/packs/cd/cd"] = "upload-2"
        assert (await place.collect()).leavings == 1
        assert driver.left == {"default/encrypted/packs/cd/cd": "upload-2"}
        assert (await place.collect()).leavings == 1
        assert driver.left == {}


class Littered:
    """A driver whose writes break off."""

    def __init__(self) -> None:
        self.left: dict[str, str] = {}

    async def leavings(self, prefix: str) -> AsyncIterator[Leaving]:
        for key, name in self.left.items():
            if key.startswith(prefix):
                yield Leaving(name, key, 0)

    async def remove_leavings(self, leavings: Sequence[Leaving]) -> None:
        for leaving in leavings:
            self.left.pop(leaving.key, None)
