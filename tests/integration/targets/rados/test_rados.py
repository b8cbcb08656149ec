"""The RADOS target over a real cluster that is full, hangs or dies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from targets.errors import (
    ObjectExists,
    QuotaExceeded,
    TargetGone,
    TimedOut,
)
from targets.rados import Namespace, RadosOptions, RadosTarget, binding, librados
from targets.rados.session import Libraries, Session
from targets.testing import keys
from targets.wrappers.retry import Retry
from tests.support.api import Api
from tests.support.crashes import resumed
from tests.support.daemon import Place
from tests.support.rados_targets import KIB, LARGE, PART_BYTES, TIMEOUT_S, opened
from tests.support.servers.ceph import POOL, Ceph
from tests.support.servers.process import in_thread
from tests.support.volumes import random_bytes


@contextmanager
def osd_paused(ceph: Ceph) -> Iterator[None]:
    ceph.osd.pause()
    try:
        yield
    finally:
        ceph.osd.resume()


@pytest.fixture
def full(ceph: Ceph) -> Iterator[None]:
    """Nothing: what needs a full cluster fills it itself; this makes sure that it does not stay so."""
    yield
    ceph.unfill()


class TestFull:
    async def test_full_cluster_is_told_at_once_and_can_be_read_and_emptied(
        self, ceph: Ceph, target: RadosTarget, namespace: str, full: None
    ) -> None:
        await target.put("small", b"content")
        await target.put("large", LARGE)
        ceph.fill()
        async with asyncio.timeout(TIMEOUT_S):
            with pytest.raises(QuotaExceeded, match="put new: no space left on device"):
                await target.put("new", b"content")
        with pytest.raises(QuotaExceeded, match="put new"):
            await target.put("new", LARGE)
        with pytest.raises(QuotaExceeded, match="put small"):
            await target.put("small", bytes(PART_BYTES))  # One that needs no more space would be taken.
        assert await target.get("small") == b"content"
        assert await target.get("large") == LARGE
        await target.delete_many(["small", "large"])
        assert ceph.names(namespace) == []


class TestHanging:
    async def test_write_that_is_not_answered_times_out(self, ceph: Ceph, target: RadosTarget) -> None:
        with osd_paused(ceph):
            async with asyncio.timeout(TIMEOUT_S + 5):
                with pytest.raises(TimedOut, match="put key: no answer in time"):
                    await target.put("key", b"content")

    async def test_write_that_lands_late_is_taken_for_our_own(self, ceph: Ceph, target: RadosTarget) -> None:
        async def resume(_: float) -> None:
            ceph.osd.resume()

        retried = Retry(target, retries_max=3, timeout_s=30, sleep=resume)
        ceph.osd.pause()
        try:
            await retried.put("key", LARGE, if_absent=True)
        finally:
            ceph.osd.resume()
        assert await target.get("key") == LARGE
        with pytest.raises(ObjectExists):
            await retried.put("key", b"other", if_absent=True)

    async def test_listing_that_breaks_off_is_not_taken_for_the_end(self, ceph: Ceph, target: RadosTarget) -> None:
        await target.put("key", b"content")
        with osd_paused(ceph), pytest.raises(TimedOut, match="list all"):
            await keys(target)

    async def test_names_that_break_off_in_the_middle_are_not_taken_for_all(
        self, ceph: Ceph, target: RadosTarget, namespace: str
    ) -> None:
        """More than one answer of an OSD holds; the sizes, which would fail as well, are left out."""
        numbers = iter(range(3000))

        async def write() -> None:
            for number in numbers:
                await target.put(f"{number}", b"")

        async with asyncio.TaskGroup() as group:
            for _ in range(32):
                group.create_task(write())
        options = RadosOptions(conf=str(ceph.conf), operation_timeout_s=TIMEOUT_S)
        session = Session(Libraries(binding.load(), librados.load()), Namespace(POOL, namespace), options)
        listing = session.listing("")
        assert listing.page(1, 1)[1]
        with osd_paused(ceph), pytest.raises(TimedOut, match="list all"):
            listing.page(4000, 4000)
        session.close()

    async def test_buffer_is_not_written_to_after_a_cancelled_get(self, ceph: Ceph, target: RadosTarget) -> None:
        await target.put("key", b"content")
        room = bytearray(7)
        with osd_paused(ceph):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(target.get_into("key", room))
                await asyncio.sleep(0)
                task.cancel()
            room[:] = b"another"
        assert await target.get("key") == b"content"  # Whatever the OSD still had to send has come before this.
        assert room == b"another"

    async def test_loop_goes_on_however_much_waits_for_the_cluster(self, ceph: Ceph, target: RadosTarget) -> None:
        """More than librados would queue by itself: it would block whoever comes next."""
        async with opened(ceph, ceph.namespace()) as other, asyncio.TaskGroup() as group:
            with osd_paused(ceph):
                body = bytes(PART_BYTES)
                waiting = [group.create_task(put_or_time_out(other, f"{number}", body)) for number in range(2000)]
                await asyncio.sleep(0)
                waiting.append(group.create_task(delete_or_time_out(other, "key")))
                for _ in range(3):
                    await asyncio.sleep(0)
                assert not any(task.done() for task in waiting)  # None has timed out while others were submitted.
                await asyncio.wait(waiting)


async def put_or_time_out(target: RadosTarget, key: str, body: bytes) -> None:
    try:
        await target.put(key, body)
    except TimedOut:
        return


async def delete_or_time_out(target: RadosTarget, key: str) -> None:
    try:
        await target.delete(key)
    except TimedOut:
        return


def threads_and_descriptors() -> tuple[int, int]:
    return len([*Path("/proc/self/task").iterdir()]), len([*Path("/proc/self/fd").iterdir()])


class TestDying:
    async def test_same_target_goes_on_after_the_osd_was_killed(self, ceph: Ceph, target: RadosTarget) -> None:
        await target.put("key", LARGE)
        ceph.osd.kill()
        try:
            with pytest.raises(TimedOut):
                await target.get("key")
        finally:
            await in_thread(ceph.restart_osd)
        retried = Retry(target, retries_max=10, timeout_s=30)
        assert await retried.get("key") == LARGE
        await retried.put("other", b"content")

    async def test_cluster_that_does_not_answer_at_the_start_is_asked_again(self, ceph: Ceph, namespace: str) -> None:
        ceph.mon.pause()
        try:
            async with opened(ceph, namespace) as target:
                with pytest.raises(TimedOut, match="no monitor within 2 s"):
                    await target.head("key")
                ceph.mon.resume()
                await target.put("key", b"content")
        finally:
            ceph.mon.resume()

    async def test_removed_pool_is_no_loss_of_objects(self, ceph: Ceph) -> None:
        ceph.create_pool("doomed")
        async with opened(ceph, "", pool="doomed") as target:
            await target.put("key", b"content")
            ceph.remove_pool("doomed")
            for operation in (target.get("key"), target.head("key"), target.delete("key"), target.put("key", b"")):
                with pytest.raises(TargetGone, match="pool doomed was removed"):
                    await operation
            with pytest.raises(TargetGone):
                await keys(target)

    async def test_nothing_is_left_after_closing(self, ceph: Ceph, namespace: str) -> None:
        async with opened(ceph, namespace) as target:
            await target.put("key", LARGE)  # What librados keeps for good, it keeps from here on.
        before = threads_and_descriptors()
        for _ in range(3):
            async with opened(ceph, namespace) as target:
                assert await target.get("key") == LARGE
                assert await keys(target) == ["key"]
        # A thread that was joined is shown for a moment longer.
        ceph.wait_until(lambda: all(now <= then for now, then in zip(threads_and_descriptors(), before, strict=True)))

    async def test_listing_that_was_left_open_survives_closing(self, ceph: Ceph, namespace: str) -> None:
        async with opened(ceph, namespace) as target:
            await target.put("a", b"content")
            await target.put("b", b"content")
            listing = aiter(target.list(""))
            await anext(listing)
        await listing.aclose()  # type: ignore[attr-defined] # a generator


async def requests_that_ended(api: Api) -> int:
    """Return how many requests to the target ended so far, well or not."""
    count: int = (await api.get("/v1/targets"))[0]["traffic"]["requests"]
    return count


class TestDaemon:
    async def test_backup_in_a_pool_is_restored_also_when_the_osd_hangs_for_a_while(
        self, ceph: Ceph, namespace: str, place: Place
    ) -> None:
        """With one target, whose name the support code fixes."""
        config = place.config.read_text().replace(f"file://{place.target}", f"rados://{POOL}/{namespace}")
        options = f'[targets.local.options]\nconf = "{ceph.conf}"\noperation_timeout_s = {TIMEOUT_S}\n'
        place.config.write_text(f"{config}{options}".replace("retries_max = 1", "retries_max = 10"))
        content = random_bytes(24 * KIB * KIB)
        (place.sources / "disk").write_bytes(content)
        async with resumed(place) as api:
            await api.add_volume(place.sources / "disk")
            with osd_paused(ceph):
                job = await api.start_backup("disk")
                before = await requests_that_ended(api)
                while await requests_that_ended(api) == before:
                    pass  # The next one to end has timed out.
            await api.succeeded(job)
            backup = await api.get(f"/v1/backups/{job['backup_id']}")
            assert (await api.restore(backup, place.restores / "disk")).read_bytes() == content
