"""Collections stepped by hand while backups, copies, deletions and other daemons are at work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backupd.errors import Conflict, CorruptObject, NotFound
from backupd.jobs.collecting import Collecting
from backupd.model import JobKind, JobState
from backupd.repository import layout, writer
from backupd.repository.writer import Writer
from chunker.errors import UnknownFormat
from targets.base import Target, exists
from tests.support.builders import PROJECT
from tests.support.catalogs import open_catalog
from tests.support.virtual_clock import VirtualClock
from tests.support.yard import CHUNK_BYTES, Disk, Forgetful, Yard, yard


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Yard]:
    async with yard(tmp_path) as made:
        yield made


async def twins(place: Yard, chunks: int = 20) -> tuple[Disk, Disk]:
    """Return two disks that hold the same, so that a backup of one finds the chunks of the other."""
    return await place.add_disk(chunks, seed=1), await place.add_disk(chunks, seed=1)


async def test_p2_keep_a_sweep_waits_for_a_backup_that_began_before_and_spares_what_it_found(place: Yard) -> None:
    one, other = await twins(place)
    first = await place.back_up(one)
    job = await place.request_backup(other)
    claimed = await place.claim_of(job)
    await place.delete(first)
    packs = await place.keys()
    report = await place.collect()
    assert (report.condemned, report.deleted, report.waiting_for) == (2, 0, (job.id,))
    assert await place.keys() == packs
    other.content[job.of_backup] = other.now()
    await place.do(claimed)  # It asked the index before, as far as anybody knows.
    await place.check()
    await place.collect(sweep_only=True)
    await place.check()


async def test_p2_keep_what_a_running_backup_had_found_before_the_condemnation_is_reprieved(place: Yard) -> None:
    chunks = await condemned_and_needed(place)
    report = await place.collect(sweep_only=True)
    assert (report.reprieved, report.deleted) == (1, 1)
    assert chunks in await place.keys()
    await place.check()


async def test_p2_keep_a_listing_that_misses_what_is_condemned_condemns_nothing_for_good(tmp_path: Path) -> None:
    targets: list[Forgetful] = []

    def forgetful(inner: Target) -> Target:
        targets.append(Forgetful(inner))
        targets[-1].missed = layout.PACKS
        return targets[-1]

    async with yard(tmp_path, wrap=forgetful) as place:
        chunks = await condemned_and_needed(place)
        for seen in (place.root / "collections").iterdir():
            seen.unlink()
        for target in targets:
            target.is_stale = True
        report = await place.collect(sweep_only=True)
        assert report.reprieved == 1
        for target in targets:
            target.is_stale = False
        assert chunks in await place.keys()
        await place.check()


async def condemned_and_needed(place: Yard) -> str:
    """Let a pack be condemned that a backup relies on, which had found it before; return its key."""
    one, other = await twins(place)
    first = await place.back_up(one)
    chunks = max(await sizes(place), key=lambda one: one[1])[0]
    claimed = await place.claim_of(await place.request_backup(other))
    index = await place.resources.repositories.index(await place.repository(), ["local"])
    pack_id = layout.pack_id(chunks)
    assert pack_id is not None
    entries = await (await place.repository()).footer(pack_id)
    await place.delete(first)
    assert (await place.collect()).condemned == 2
    index.add(pack_id, entries)  # The backup goes on as if it had asked before.
    other.content[claimed.of_backup] = other.now()
    await place.do_without_asking(claimed)
    return chunks


async def test_p2_keep_a_backup_that_begins_after_the_condemnation_does_not_rely_on_it(place: Yard) -> None:
    one, other = await twins(place)
    holding_up = await place.request_backup(await place.add_disk(1, seed=9))
    held_up = await place.claim_of(holding_up)
    first = await place.back_up(one)
    chunks = max(await sizes(place), key=lambda one: one[1])[0]
    pack_id = layout.pack_id(chunks)
    assert pack_id is not None
    repository = await place.repository()
    entries = await repository.footer(pack_id)
    await place.delete(first)
    assert (await place.collect()).waiting_for == (holding_up.id,)
    (await place.resources.repositories.index(repository, ["local"])).add(pack_id, entries)  # As on another node.
    second = await place.back_up(other)
    assert second.statistics is not None
    assert (second.statistics.new_chunks, second.statistics.reused_chunks) == (20, 0)
    await place.end(held_up, JobState.FAILED)
    assert (await place.collect(sweep_only=True)).deleted == 2
    await place.check()


async def test_p2_keep_a_later_attempt_keeps_the_epoch_of_the_first(place: Yard) -> None:
    one, other = await twins(place)
    first = await place.back_up(one)
    job = await place.claim_of(await place.request_backup(other))
    await place.delete(first)
    assert (await place.collect()).waiting_for == (job.id,)
    await place.catalog.release_leases("worker")
    assert (await place.collect(sweep_only=True)).waiting_for == (job.id,)
    again = await place.claim_of(job)
    assert (await place.collect(sweep_only=True)).waiting_for == (job.id,)
    other.content[job.of_backup] = other.now()
    await place.do(again)
    assert (await place.collect(sweep_only=True)).waiting_for == ()
    await place.check()


async def test_p2_keep_a_parent_that_is_deleted_meanwhile_keeps_its_packs_for_the_backup_on_top(place: Yard) -> None:
    disk = await place.add_disk(40, seed=1)
    parent = await place.back_up(disk)
    disk.memory.write(0, bytes([5]) * CHUNK_BYTES)
    job = await place.request_backup(disk, parent)
    deletion = await place.request_delete(parent)
    disk.content.pop(parent.id)
    assert (await place.collect()).condemned == 0
    disk.content[job.of_backup] = disk.now()
    await place.do(await place.claim_of(job))
    await place.do(await place.claim_of(deletion))
    report = await place.collect()
    assert report.deleted == 1  # The parent's nodes.
    await place.check()


async def test_p2_keep_packs_of_a_job_that_is_not_done_stay(place: Yard) -> None:
    disk = await place.add_disk(20, seed=1)
    job = await place.claim_of(await place.request_backup(disk))
    await place.bodies[JobKind.BACKUP](job, place.run_of(job))
    repository = await place.repository()
    await repository.target.delete(layout.manifest(job.of_backup))  # As if it had not come that far.
    packs = await place.keys()
    assert (await place.collect()).condemned == 0
    assert await place.keys() == packs


async def test_p2_keep_a_copy_has_what_it_relies_on_reprieved(place: Yard) -> None:
    backup = await place.back_up(await place.add_disk(20, seed=1))
    await place.copy(backup, "other")
    other = await place.repository("other")
    await other.target.delete(layout.manifest(backup.id))
    await place.forget_copy(backup, "other")
    holding_up = await place.claim_of(await place.request_backup(await place.add_disk(1), target="other"))
    assert (await place.collect(target="other")).condemned == 2
    await place.copy(backup, "other")
    await place.end(holding_up, JobState.FAILED)
    assert (await place.collect(target="other", sweep_only=True)).deleted == 0
    await place.check("other")


async def test_a_copy_waits_for_what_is_going_already(place: Yard) -> None:
    backup = await place.back_up(await place.add_disk(20, seed=1))
    await place.copy(backup, "other")
    other = await place.repository("other")
    await other.target.delete(layout.manifest(backup.id))
    await place.forget_copy(backup, "other")
    holding_up = await place.claim_of(await place.request_backup(await place.add_disk(1), target="other"))
    await place.collect(target="other")
    collections, name = place.catalog.collections, place.name_on("other")
    async for page in collections.condemned(name):
        await collections.take(name, page)
    with pytest.raises(ExceptionGroup) as told:
        await place.copy(backup, "other")
    assert told.group_contains(Conflict, match="is being deleted")
    await place.end(holding_up, JobState.FAILED)


async def test_p2_keep_nothing_is_deleted_while_another_daemon_writes_there_too(tmp_path: Path) -> None:
    async with yard(tmp_path) as here:
        gone = await here.back_up(await here.add_disk(20, seed=1))
        async with yard(tmp_path, stores=here.stores, name="stranger") as there:
            await there.back_up(await there.add_disk(3, seed=2))
            await here.delete(gone)
            report = await here.collect()
            (stranger,) = report.foreign_writers
            assert stranger == f"{await there.catalog.collections.catalog_id()} (stranger)"
            assert (report.condemned, report.deleted) == (0, 0)
        report = await here.collect(forget=stranger.partition(" ")[0])
        assert report.deleted == 2
        ours = await here.catalog.collections.catalog_id()
        assert await here.keys(layout.WRITERS) == {layout.writer(ours), layout.spare(ours)}


async def test_p2_keep_a_daemon_that_comes_later_does_not_rely_on_what_is_condemned(tmp_path: Path) -> None:
    async with yard(tmp_path) as here:
        disk = await here.add_disk(20, seed=1)
        gone = await here.back_up(disk)
        holding_up = await here.claim_of(await here.request_backup(await here.add_disk(1, seed=3)))
        await here.delete(gone)
        assert (await here.collect()).waiting_for == (holding_up.id,)
        await here.announce()  # As the sweep does before it looks for others.
        async with yard(tmp_path, stores=here.stores, name="stranger") as there:
            await there.learn_all_packs()
            backup = await there.back_up(await there.add_disk(20, seed=1))
            assert backup.statistics is not None
            assert backup.statistics.reused_chunks == 0
        await here.end(holding_up, JobState.FAILED)
        assert (await here.collect(sweep_only=True)).deleted == 0


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"format":"backupd writer","version":9}'])
async def test_p2_keep_a_daemon_whose_writer_is_damaged_is_a_writer_still(tmp_path: Path, body: bytes) -> None:
    async with yard(tmp_path) as here:
        gone = await here.back_up(await here.add_disk(2, seed=1))
        await here.delete(gone)
        stranger = "ab" * 16
        repository = await here.repository()
        await repository.target.put(layout.writer(stranger), body)
        report = await here.collect()
        assert report.foreign_writers[0].startswith(f"{stranger} ({layout.writer(stranger)}: ")
        assert (report.condemned, report.deleted) == (0, 0)
        assert (await here.collect(forget=stranger)).deleted == 2


async def test_a_writer_that_nobody_knows_cannot_be_forgotten(place: Yard) -> None:
    gone = await place.back_up(await place.add_disk(2, seed=1))
    await place.delete(gone)
    target = (await place.repository()).target
    known, unknown = "ab" * 16, "cd" * 16
    await target.put(layout.writer(known), writer.encode(Writer(known, "stranger")))
    job = await place.claim_of(await place.request_collection(forget=unknown))
    with pytest.raises(NotFound, match=rf"{unknown}.*{known} \(stranger\)"):
        await place.bodies[job.kind](job, place.run_of(job))
    assert await exists(target, layout.writer(known))
    # The next attempt cannot know whether one that died has forgotten it.
    await place.catalog.release_job(job.id, job.fence)
    await place.do()


@pytest.mark.parametrize("body", [b"", b"BKDCOND9" + bytes(60), b"BKDCOND1" + bytes(60)])
async def test_p2_keep_nobody_writes_where_it_cannot_be_read_what_others_have_condemned(
    tmp_path: Path, body: bytes
) -> None:
    async with yard(tmp_path) as here:
        await here.back_up(await here.add_disk(2, seed=1))
        stranger = "ab" * 16
        repository = await here.repository()
        await repository.target.put(layout.condemned(stranger, 0), body)
        async with yard(tmp_path, stores=here.stores, name="later") as there:
            disk = await there.add_disk(2, seed=2)
            named = f"(?s)^{layout.condemned(stranger, 0)}: .*--forget-writer {stranger}"
            with pytest.raises((CorruptObject, UnknownFormat), match=named):
                await there.back_up(disk)
            await there.collect(forget=stranger)
        await here.back_up(await here.add_disk(2, seed=3))
        await here.check()


async def test_the_rest_of_a_collection_is_queued_when_what_it_waits_for_has_ended(place: Yard) -> None:
    one, other = await twins(place)
    first = await place.back_up(one)
    running = await place.claim_of(await place.request_backup(other))
    await place.delete(first)
    await place.collect()
    collecting = Collecting(place.catalog, VirtualClock(), {"local": 0.0}, wake=lambda: None)
    assert await collecting.look() == 0
    await place.end(running, JobState.FAILED)
    assert await collecting.look() == 1
    assert await collecting.look() == 0  # One at a time.
    await place.do(kind=JobKind.COLLECT)
    assert await collecting.look() == 0


async def test_a_target_is_collected_once_in_its_interval(tmp_path: Path) -> None:
    clock = VirtualClock()
    async with yard(tmp_path, clock=clock) as place:
        await place.back_up(await place.add_disk(1, seed=1))
        collecting = Collecting(place.catalog, clock, {"local": 3600.0, "other": 0.0}, wake=lambda: None)
        assert await collecting.look() == 0
        clock.advance(3600)
        assert await collecting.look() == 1
        await place.do(kind=JobKind.COLLECT)
        assert await collecting.look() == 0
        clock.advance(3600)
        assert await collecting.look() == 1
        await place.do(kind=JobKind.COLLECT)


async def sizes(place: Yard) -> list[tuple[str, int]]:
    repository = await place.repository()
    return [(info.key, info.size_bytes) async for info in repository.target.list(layout.PACKS)]


async def test_a_catalog_keeps_its_name(tmp_path: Path) -> None:
    names = set()
    for _ in range(2):
        async with open_catalog(tmp_path / "catalog.sqlite", VirtualClock()) as catalog:
            names.add(await catalog.collections.catalog_id())
            assert await catalog.backups(PROJECT) == []
    assert len(names) == 1
