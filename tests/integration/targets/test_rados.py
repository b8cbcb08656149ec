"""What only the RADOS target can get wrong, against a real cluster that is full, hangs, dies or refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from targets.errors import (
    Misconfigured,
    ObjectExists,
    ObjectNotFound,
    PermissionDenied,
    QuotaExceeded,
    ShortRead,
    TargetGone,
    TimedOut,
    Unsupported,
)
from targets.open import open_target
from targets.rados import Namespace, RadosOptions, RadosTarget
from targets.testing import keys
from targets.wrappers.retry import Retry
from tests.support.api import Api
from tests.support.crashes import resumed
from tests.support.daemon import Place
from tests.support.servers.ceph import POOL, Ceph
from tests.support.servers.process import in_thread
from tests.support.volumes import random_bytes

KIB = 1024
PART_BYTES = 64 * KIB
LARGE = random_bytes(5 * PART_BYTES + 1)  # Six parts.
TIMEOUT_S = 2


@pytest.fixture
def namespace(ceph: Ceph) -> str:
    return ceph.namespace()


@asynccontextmanager
async def opened(ceph: Ceph, namespace: str, *, pool: str = POOL) -> AsyncIterator[RadosTarget]:
    options = RadosOptions(
        conf=str(ceph.conf), operation_timeout_s=TIMEOUT_S, connect_timeout_s=TIMEOUT_S, part_bytes=PART_BYTES
    )
    target = RadosTarget(Namespace(pool, namespace), options)
    try:
        yield target
    finally:
        await target.aclose()


@pytest.fixture
async def target(ceph: Ceph, namespace: str) -> AsyncIterator[RadosTarget]:
    async with opened(ceph, namespace) as target:
        yield target


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
        ceph.wait_until(lambda: threads_and_descriptors() == before, timeout_s=5)

    async def test_listing_that_was_left_open_survives_closing(self, ceph: Ceph, namespace: str) -> None:
        async with opened(ceph, namespace) as target:
            await target.put("a", b"content")
            await target.put("b", b"content")
            listing = aiter(target.list(""))
            await anext(listing)
        await listing.aclose()  # type: ignore[attr-defined] # a generator


class TestParts:
    async def test_large_object_is_stored_in_parts_that_no_listing_shows(
        self, ceph: Ceph, target: RadosTarget, namespace: str
    ) -> None:
        await target.put("folder/key", LARGE)
        assert [(info.key, info.size_bytes) async for info in target.list("")] == [("folder/key", len(LARGE))]
        *parts, head = ceph.names(namespace)
        assert head == "folder/key"
        assert len(parts) == 6
        assert all(part.startswith(".parts/") and part.endswith("/folder/key") for part in parts)

    @pytest.mark.parametrize("bodies", [(LARGE, b"small"), (b"small", LARGE), (LARGE, LARGE[::-1])])
    async def test_overwritten_object_leaves_no_parts(
        self, ceph: Ceph, target: RadosTarget, namespace: str, bodies: tuple[bytes, bytes]
    ) -> None:
        for body in bodies:
            await target.put("key", body)
        assert await target.get("key") == bodies[1]
        assert (await target.head("key")).size_bytes == len(bodies[1])
        assert len(ceph.names(namespace)) == (7 if len(bodies[1]) > PART_BYTES else 1)

    async def test_deleted_object_leaves_no_parts(self, ceph: Ceph, target: RadosTarget, namespace: str) -> None:
        await target.put("large", LARGE)
        await target.put("small", b"content")
        await target.delete_many(["large", "small", "absent"])
        assert ceph.names(namespace) == []

    async def test_refused_object_leaves_no_parts(self, ceph: Ceph, target: RadosTarget, namespace: str) -> None:
        await target.put("key", b"first")
        with pytest.raises(ObjectExists):
            await target.put("key", LARGE, if_absent=True)
        assert ceph.names(namespace) == ["key"]

    async def test_cancelled_object_leaves_no_parts_or_all(
        self, ceph: Ceph, target: RadosTarget, namespace: str
    ) -> None:
        for turns in range(0, 40, 4):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(target.put(f"key-{turns}", LARGE))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
        whole = await keys(target)
        assert len(ceph.names(namespace)) == 7 * len(whole)

    async def test_range_over_the_border_of_parts_is_exact(self, target: RadosTarget) -> None:
        await target.put("key", LARGE)
        for offset, length in ((0, PART_BYTES), (PART_BYTES - 1, 2), (PART_BYTES, 3 * PART_BYTES), (len(LARGE) - 1, 1)):
            assert await target.get("key", offset=offset, length=length) == LARGE[offset : offset + length]
            room = bytearray(length)
            await target.get_into("key", room, offset=offset)
            assert room == LARGE[offset : offset + length]
        with pytest.raises(ShortRead):
            await target.get("key", offset=len(LARGE), length=1)
        assert await target.get("key", offset=len(LARGE)) == b""

    async def test_reader_sees_one_of_two_split_objects_whole(self, target: RadosTarget) -> None:
        bodies = (LARGE, LARGE[::-1], b"small")
        await target.put("key", bodies[0])

        async def write() -> None:
            for number in range(30):
                await target.put("key", bodies[number % 3])

        async with asyncio.TaskGroup() as group:
            writer = group.create_task(write())
            while not writer.done():
                assert await target.get("key") in bodies

    async def test_reader_of_an_object_that_is_deleted_meanwhile_does_not_find_it(self, target: RadosTarget) -> None:
        async def read() -> None:
            try:
                assert await target.get("key") == LARGE
            except ObjectNotFound:
                return

        for _ in range(10):
            await target.put("key", LARGE)
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(read())
                group.create_task(target.delete("key"))

    async def test_part_that_is_lost_is_told(self, ceph: Ceph, target: RadosTarget, namespace: str) -> None:
        await target.put("key", LARGE)
        ceph.rados(namespace, "rm", next(name for name in ceph.names(namespace) if name.endswith("/3/key")))
        with pytest.raises(ShortRead, match="key: part 3 of it is missing"):
            await target.get("key")

    async def test_parts_of_an_unknown_version_are_refused(
        self, ceph: Ceph, target: RadosTarget, namespace: str
    ) -> None:
        await target.put("key", LARGE)
        ceph.rados(namespace, "setxattr", "key", "backupd.parts", "2 what comes later")
        with pytest.raises(Unsupported, match=r"key: its attribute backupd\.parts is b'2 what comes later'"):
            await target.get("key")


class TestConfiguration:
    async def test_url_opens_a_namespace_of_a_pool(self, ceph: Ceph, namespace: str) -> None:
        target = open_target(f"rados://{POOL}/{namespace}", conf=str(ceph.conf))
        await target.put("key", b"content")
        await target.aclose()
        assert ceph.names(namespace) == ["key"]

    @pytest.mark.parametrize("url", ["rados:", "rados:///n", "rados://pool/a/b", "rados:pool", "rados://pool/a%00"])
    def test_url_that_says_something_else_is_refused(self, url: str) -> None:
        with pytest.raises(Misconfigured, match="expected rados://POOL"):
            open_target(url)

    def test_absent_pool_is_told(self, ceph: Ceph) -> None:
        with pytest.raises(Misconfigured, match="pool absent does not exist"):
            open_target("rados://absent", conf=str(ceph.conf))

    def test_absent_configuration_is_told(self) -> None:
        with pytest.raises(Misconfigured, match=r"option conf: /absent/ceph\.conf: no such file"):
            open_target(f"rados://{POOL}", conf="/absent/ceph.conf")

    def test_configuration_without_monitors_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "ceph.conf").write_text("[global]\n")
        with pytest.raises(Misconfigured, match=r"connecting .*ceph\.conf: .*\n.*must name the monitors"):
            open_target(f"rados://{POOL}", conf=str(tmp_path / "ceph.conf"))

    def test_garbled_configuration_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "ceph.conf").write_text("[global\nfsid\n")
        with pytest.raises(Misconfigured, match=r"option conf: .*ceph\.conf: it cannot be parsed"):
            open_target(f"rados://{POOL}", conf=str(tmp_path / "ceph.conf"))

    def test_absent_keyring_is_told(self, ceph: Ceph) -> None:
        with pytest.raises(Misconfigured, match=r"option keyring: /absent/keyring: no such file"):
            open_target(f"rados://{POOL}", conf=str(ceph.conf), keyring="/absent/keyring")

    def test_user_without_a_key_is_told(self, ceph: Ceph, tmp_path: Path) -> None:
        without_keyring = tmp_path / "ceph.conf"
        without_keyring.write_text(ceph.conf.read_text().replace(f"keyring = {ceph.directory}/keyring", ""))
        for conf in (ceph.conf, without_keyring):
            with pytest.raises(PermissionDenied, match=r"client\.nobody.*\n.*must hold the key of client\.nobody"):
                open_target(f"rados://{POOL}", conf=str(conf), user="nobody")

    def test_wrong_key_is_refused(self, ceph: Ceph) -> None:
        keyring = ceph.add_user("forged", mon="allow r", osd="allow rw")
        other = ceph.add_user("other", mon="allow r", osd="allow rw")
        key = other.read_text().split("key = ")[1]
        keyring.write_text(f"[client.forged]\nkey = {key}\n")
        with pytest.raises(PermissionDenied, match=r"connecting as client\.forged") as caught:
            open_target(f"rados://{POOL}", conf=str(ceph.conf), user="forged", keyring=str(keyring))
        assert key.strip() not in str(caught.value)

    async def test_user_of_one_namespace_can_use_that_and_no_other(self, ceph: Ceph, namespace: str) -> None:
        keyring = ceph.add_user("least", mon="allow r", osd=f"allow rw pool={POOL} namespace={namespace}")
        options = RadosOptions(conf=str(ceph.conf), user="least", keyring=str(keyring), part_bytes=PART_BYTES)
        target = RadosTarget(Namespace(POOL, namespace), options)
        await target.put("key", LARGE)
        await target.put("key", b"content")
        await target.put("absent", b"content", if_absent=True)
        assert await target.get("key") == b"content"
        assert await keys(target) == ["absent", "key"]
        await target.delete("key")
        await target.aclose()
        target = RadosTarget(Namespace(POOL, ceph.namespace()), options)
        for operation in (target.get("key"), target.head("key"), target.put("key", b""), target.delete("key")):
            with pytest.raises(PermissionDenied, match="operation not permitted"):
                await operation
        with pytest.raises(PermissionDenied):
            await keys(target)
        await target.aclose()

    async def test_object_size_that_the_cluster_refuses_is_told_with_the_option(self, ceph: Ceph) -> None:
        ceph.command("config", "set", "osd", "osd_max_write_size", "4")
        try:
            target = RadosTarget(Namespace(POOL, ceph.namespace()), RadosOptions(conf=str(ceph.conf)))
            with pytest.raises(QuotaExceeded, match=r"option part_bytes must not exceed .* osd_max_write_size"):
                await target.put("key", bytes(5 * KIB * KIB))
            await target.aclose()
        finally:
            ceph.command("config", "rm", "osd", "osd_max_write_size")

    async def test_limit_that_the_configuration_tells_is_heeded(
        self, ceph: Ceph, namespace: str, tmp_path: Path
    ) -> None:
        conf = tmp_path / "ceph.conf"
        conf.write_text(f"{ceph.conf.read_text()}\n[client]\nosd max write size = 4\n")
        target = RadosTarget(Namespace(POOL, namespace), RadosOptions(conf=str(conf)))
        await target.put("key", bytes(4 * KIB * KIB))
        assert await target.get("key") == bytes(4 * KIB * KIB)
        await target.aclose()
        assert len(ceph.names(namespace)) == 3


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
