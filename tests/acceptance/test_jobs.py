"""Jobs as an operator sees them: side by side, cancelled, interrupted and gone on with."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from backupd.clock import SystemClock
from tests.support.daemon import Daemon, Place, serving
from tests.support.volumes import random_bytes

MIB = 1024 * 1024
SIZE_BYTES = 40 * MIB
SLOW_BYTES_PER_S = 20 * MIB
CONTENT = random_bytes(SIZE_BYTES)


async def add_disk(daemon: Daemon, name: str = "disk") -> str:
    path = daemon.place.sources / name
    path.write_bytes(CONTENT)
    return await daemon.add_volume(path)


async def packs_arrived(daemon: Daemon, count: int) -> None:
    while len(daemon.place.objects("packs")) < count:
        await SystemClock().sleep(0.01)


async def test_progress_grows_to_all_of_it(place: Place) -> None:
    place.configure(bytes_per_s=SLOW_BYTES_PER_S)
    async with serving(place) as daemon:
        job = await daemon.start_backup(await add_disk(daemon))
        seen = [(await daemon.progressed(job))["progress"]]
        while (job := await daemon.get(f"/v1/jobs/{job['id']}"))["state"] == "running":
            seen.append(job["progress"])
            await SystemClock().sleep(0.05)
    done = [progress["done_bytes"] for progress in seen]
    assert done == sorted(done)
    assert len({one for one in done if 0 < one < SIZE_BYTES}) > 1
    assert {progress["total_bytes"] for progress in seen} == {SIZE_BYTES}
    assert any(progress["eta_s"] for progress in seen)
    assert job["progress"]["done_bytes"] == job["progress"]["total_bytes"] == SIZE_BYTES


async def test_two_jobs_run_and_a_third_one_waits(place: Place) -> None:
    place.configure(bytes_per_s=SLOW_BYTES_PER_S)
    async with serving(place) as daemon:
        names = [await add_disk(daemon, name) for name in ("one", "two", "three")]
        jobs = [await daemon.start_backup(name) for name in names]
        for job in jobs[:2]:
            await daemon.progressed(job)
        states = [(await daemon.get(f"/v1/jobs/{job['id']}"))["state"] for job in jobs]
        assert states == ["running", "running", "queued"]
        for job in jobs:
            await daemon.post(f"/v1/jobs/{job['id']}/cancel")
            assert (await daemon.ended(job))["state"] == "cancelled"


async def test_a_cancelled_backup_leaves_nothing_behind(place: Place) -> None:
    async with serving(place) as daemon:
        path = place.sources / "small"
        path.write_bytes(b"first")
        await daemon.back_up(await daemon.add_volume(path))
    place.configure(bytes_per_s=SLOW_BYTES_PER_S)
    async with serving(place) as daemon:
        await daemon.back_up("small")
        before = daemon.descriptors()
        job = await daemon.start_backup(await add_disk(daemon))
        await packs_arrived(daemon, 3)
        await daemon.post(f"/v1/jobs/{job['id']}/cancel")
        assert (await daemon.ended(job))["state"] == "cancelled"
        assert daemon.descriptors() == before
        await assert_backup_failed(daemon, job)
        backup = await daemon.back_up("disk")
        assert (await daemon.restore(backup, place.restores / "disk")).read_bytes() == CONTENT


async def assert_backup_failed(daemon: Daemon, job: Any) -> None:
    backup = await daemon.get(f"/v1/backups/{job['backup_id']}")
    assert (backup["state"], backup["failure"]["code"]) == ("error", "job.cancelled")
    assert daemon.place.leftovers() == []
    assert not any(backup["id"] in key for key in daemon.place.objects())


async def test_a_cancelled_restore_leaves_no_file(place: Place) -> None:
    async with serving(place) as daemon:
        backup = await daemon.back_up(await add_disk(daemon))
    place.configure(bytes_per_s=SLOW_BYTES_PER_S)
    async with serving(place) as daemon:
        job = await daemon.progressed(await daemon.start_restore(backup, place.restores / "disk"))
        await daemon.post(f"/v1/jobs/{job['id']}/cancel")
        assert (await daemon.ended(job))["state"] == "cancelled"
        assert list(place.restores.iterdir()) == []


@pytest.mark.parametrize("is_index_lost", [False, True])
async def test_p4_crash_a_stopped_daemon_goes_on_and_sends_no_pack_twice(place: Place, is_index_lost: bool) -> None:
    place.configure(bytes_per_s=SLOW_BYTES_PER_S, shutdown_timeout_s=0)
    async with serving(place) as daemon:
        job = await daemon.start_backup(await add_disk(daemon))
        await packs_arrived(daemon, 2)
        assert daemon.stop() == 0
    sent = place.objects("packs")
    if is_index_lost:  # Then nothing but the packs that the catalog has recorded tells what was sent.
        shutil.rmtree(place.root / "state" / "indexes")
    place.configure()
    async with serving(place) as daemon:
        job = await daemon.succeeded(job)
        backup = await daemon.get(f"/v1/backups/{job['backup_id']}")
        assert (await daemon.restore(backup, place.restores / "disk")).read_bytes() == CONTENT
    packs = place.objects("packs")
    assert [attempt["state"] for attempt in job["attempts"]] == ["interrupted", "succeeded"]
    assert sent.items() <= packs.items()
    assert sum(packs.values()) < SIZE_BYTES + MIB
    assert backup["statistics"]["reused_chunks"] >= sum(sent.values()) // (64 * 1024) - len(sent)


async def test_a_daemon_that_is_stopped_lets_a_short_job_end(place: Place) -> None:
    place.configure(bytes_per_s=SLOW_BYTES_PER_S)
    async with serving(place) as daemon:
        job = await daemon.start_backup(await add_disk(daemon))
        await packs_arrived(daemon, 1)
        assert daemon.stop() == 0
    async with serving(place) as daemon:
        job = await daemon.get(f"/v1/jobs/{job['id']}")
    assert (job["state"], len(job["attempts"])) == ("succeeded", 1)


async def test_a_second_backup_of_a_volume_waits_for_the_first(place: Place) -> None:
    place.configure(bytes_per_s=SLOW_BYTES_PER_S)
    async with serving(place) as daemon:
        job = await daemon.start_backup(await add_disk(daemon))
        status, problem = await daemon.ask("/v1/backups", {"volume": "disk"})
        assert (status, problem["code"]) == (409, "conflict")
        assert job["backup_id"] in problem["detail"]
        await daemon.post(f"/v1/jobs/{job['id']}/cancel")
