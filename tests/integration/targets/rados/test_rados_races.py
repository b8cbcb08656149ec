"""Objects of the RADOS target that change while they are looked at: what takes several requests is of one moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from targets.errors import ShortRead
from targets.rados import Namespace, RadosOptions, RadosTarget, binding, librados
from targets.rados.connection import Connection
from targets.rados.objects import Objects
from targets.rados.session import Libraries
from targets.testing import keys
from tests.support.rados_targets import LARGE, PART_BYTES
from tests.support.servers.ceph import POOL, Ceph

EMPTY = memoryview(b"")


@pytest.fixture
async def objects(ceph: Ceph, namespace: str) -> AsyncIterator[Objects]:
    libraries = Libraries(binding.load(), librados.load())
    connection = Connection(libraries, Namespace(POOL, namespace), RadosOptions(conf=str(ceph.conf)))
    yield Objects(libraries.binding, connection)
    await connection.aclose()


async def while_overwritten(
    target: RadosTarget, bodies: Sequence[bytes], look: Callable[[], Awaitable[None]], times: int = 30
) -> None:
    """Look at the object again and again, while the bodies take turns in it."""
    await target.put("key", bodies[0])

    async def write() -> None:
        for number in range(times):
            await target.put("key", bodies[number % len(bodies)])

    async with asyncio.TaskGroup() as group:
        writer = group.create_task(write())
        while not writer.done():
            await look()


async def test_reader_sees_one_of_two_objects_whole_whatever_their_sizes(target: RadosTarget) -> None:
    bodies = (b"a" * PART_BYTES, b"b" * 1000, b"", b"c" * 30_000)

    async def look() -> None:
        assert await target.get("key") in bodies

    await while_overwritten(target, bodies, look, times=100)


async def test_size_is_that_of_one_of_the_objects_that_take_turns(target: RadosTarget) -> None:
    bodies = (LARGE, b"", b"small")

    async def look() -> None:
        assert (await target.head("key")).size_bytes in {len(body) for body in bodies}
        async for info in target.list("key"):
            assert info.size_bytes in {len(body) for body in bodies}

    await while_overwritten(target, bodies, look)


async def test_range_of_objects_that_take_turns_is_of_one_of_them_or_too_long_for_it(target: RadosTarget) -> None:
    bodies = (LARGE, b"", LARGE[::-1][:PART_BYTES])

    async def look() -> None:
        try:
            found = await target.get("key", offset=1000, length=PART_BYTES // 2)
        except ShortRead:
            return
        assert found in {body[1000 : 1000 + PART_BYTES // 2] for body in bodies}

    await while_overwritten(target, bodies, look)


async def test_object_that_is_split_while_it_is_deleted_leaves_no_parts(
    ceph: Ceph, target: RadosTarget, namespace: str
) -> None:
    for _ in range(10):
        await target.put("key", b"small")
        async with asyncio.TaskGroup() as group:
            group.create_task(target.put("key", LARGE))
            for _ in range(3):
                group.create_task(target.delete("key"))
        assert len(ceph.names(namespace)) == 7 * len(await keys(target))


async def test_object_made_anew_is_not_taken_for_the_one_that_was_found(target: RadosTarget, objects: Objects) -> None:
    await target.put("key", b"first")
    found = await objects.look("look", "key")
    assert found is not None
    await target.delete("key")
    assert not await objects.remove("remove", "key", found)  # As one that comes late, after a time-out.
    await target.put("key", b"second")
    assert not await objects.remove("remove", "key", found)
    assert not await objects.replace("replace", "key", EMPTY, None, found)
    assert await target.get("key") == b"second"


async def test_empty_object_has_no_content_however_much_is_asked_for(target: RadosTarget) -> None:
    """The binding gives as many bytes as were asked for, of memory that nobody wrote to."""
    await target.put("key", b"")
    assert await target.get("key") == await target.get("key", length=0) == b""
    with pytest.raises(ShortRead, match="expected bytes up to 1, the object has 0"):
        await target.get("key", length=1)
    with pytest.raises(ShortRead):
        await target.get_into("key", bytearray(5))


async def test_object_that_was_written_with_larger_parts_is_read_whole(
    ceph: Ceph, target: RadosTarget, namespace: str
) -> None:
    other = RadosTarget(Namespace(POOL, namespace), RadosOptions(conf=str(ceph.conf)))
    await other.put("key", LARGE)
    await other.aclose()
    assert ceph.names(namespace) == ["key"]
    assert await target.get("key") == LARGE
    assert await target.get("key", offset=1, length=len(LARGE) - 1) == LARGE[1:]
    room = bytearray(len(LARGE))
    await target.get_into("key", room)
    assert room == LARGE


async def test_object_is_dated_when_it_is_written(ceph: Ceph, target: RadosTarget, namespace: str) -> None:
    await target.put("key", b"content")
    assert "mtime 1970" not in ceph.rados(namespace, "stat", "key")
