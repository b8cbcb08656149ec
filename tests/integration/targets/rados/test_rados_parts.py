"""Objects of the RADOS target that are larger than a part."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from targets.errors import (
    ObjectExists,
    ObjectNotFound,
    ShortRead,
    Unsupported,
)
from targets.rados import RadosTarget
from targets.testing import keys
from tests.support.racer import racing
from tests.support.rados_targets import LARGE, PART_BYTES
from tests.support.servers.ceph import POOL, Ceph
from tests.support.servers.process import in_thread


async def test_large_object_is_stored_in_parts_that_no_listing_shows(
    ceph: Ceph, target: RadosTarget, namespace: str
) -> None:
    await target.put("folder/key", LARGE)
    assert [(info.key, info.size_bytes) async for info in target.list("")] == [("folder/key", len(LARGE))]
    *parts, head = ceph.names(namespace)
    assert head == "folder/key"
    assert len(parts) == 6
    assert all(part.startswith(".parts/") and part.endswith("/folder/key") for part in parts)


@pytest.mark.parametrize("bodies", [(LARGE, b"small"), (b"small", LARGE), (LARGE, LARGE[::-1])])
async def test_overwritten_object_leaves_no_parts(
    ceph: Ceph, target: RadosTarget, namespace: str, bodies: tuple[bytes, bytes]
) -> None:
    for body in bodies:
        await target.put("key", body)
    assert await target.get("key") == bodies[1]
    assert (await target.head("key")).size_bytes == len(bodies[1])
    assert len(ceph.names(namespace)) == (7 if len(bodies[1]) > PART_BYTES else 1)


async def test_deleted_object_leaves_no_parts(ceph: Ceph, target: RadosTarget, namespace: str) -> None:
    await target.put("large", LARGE)
    await target.put("small", b"content")
    await target.delete_many(["large", "small", "absent"])
    assert ceph.names(namespace) == []


async def test_refused_object_leaves_no_parts(ceph: Ceph, target: RadosTarget, namespace: str) -> None:
    await target.put("key", b"first")
    with pytest.raises(ObjectExists):
        await target.put("key", LARGE, if_absent=True)
    assert ceph.names(namespace) == ["key"]


async def test_cancelled_object_leaves_no_parts_or_all(ceph: Ceph, target: RadosTarget, namespace: str) -> None:
    for turns in range(0, 40, 4):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(target.put(f"key-{turns}", LARGE))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
    whole = await keys(target)
    assert len(ceph.names(namespace)) == 7 * len(whole)


async def test_parts_of_a_writer_that_was_killed_are_found_and_removed(
    ceph: Ceph, target: RadosTarget, namespace: str
) -> None:
    options = {"conf": str(ceph.conf), "part_bytes": PART_BYTES}
    with racing(f"rados://{POOL}/{namespace}", options, ["writer"]) as writers:
        async with asyncio.TaskGroup() as group:
            write = group.create_task(in_thread(partial(writers.race, "key", size_bytes=2000 * PART_BYTES)))
            while not [part async for part in target.leavings("")]:
                assert not write.done()
            writers.kill()
    assert write.result() == {"writer": ""}
    left = [part async for part in target.leavings("")]
    assert {part.key for part in left} == {"key"}
    await target.remove_leavings(left)
    assert ceph.names(namespace) == ["ready/writer"]


async def test_range_over_the_border_of_parts_is_exact(target: RadosTarget) -> None:
    await target.put("key", LARGE)
    for offset, length in ((0, PART_BYTES), (PART_BYTES - 1, 2), (PART_BYTES, 3 * PART_BYTES), (len(LARGE) - 1, 1)):
        assert await target.get("key", offset=offset, length=length) == LARGE[offset : offset + length]
        room = bytearray(length)
        await target.get_into("key", room, offset=offset)
        assert room == LARGE[offset : offset + length]
    with pytest.raises(ShortRead):
        await target.get("key", offset=len(LARGE), length=1)
    assert await target.get("key", offset=len(LARGE)) == b""


async def test_reader_sees_one_of_two_split_objects_whole(target: RadosTarget) -> None:
    bodies = (LARGE, LARGE[::-1], b"small")
    await target.put("key", bodies[0])

    async def write() -> None:
        for number in range(30):
            await target.put("key", bodies[number % 3])

    async with asyncio.TaskGroup() as group:
        writer = group.create_task(write())
        while not writer.done():
            assert await target.get("key") in bodies


async def test_reader_of_an_object_that_is_deleted_meanwhile_does_not_find_it(target: RadosTarget) -> None:
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


async def test_part_that_is_lost_is_told(ceph: Ceph, target: RadosTarget, namespace: str) -> None:
    await target.put("key", LARGE)
    ceph.rados(namespace, "rm", next(name for name in ceph.names(namespace) if name.endswith("/3/key")))
    with pytest.raises(ShortRead, match="key: part 3 of it is missing"):
        await target.get("key")


async def test_parts_of_an_unknown_version_are_refused(ceph: Ceph, target: RadosTarget, namespace: str) -> None:
    await target.put("key", LARGE)
    ceph.rados(namespace, "setxattr", "key", "backupd.parts", "2 what comes later")
    with pytest.raises(Unsupported, match=r"key: its attribute backupd\.parts is b'2 what comes later'"):
        await target.get("key")
