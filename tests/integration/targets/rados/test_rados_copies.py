"""How the service copies what it stores and reads, beside what the binding and librados copy."""

from __future__ import annotations

import asyncio
import threading

import pytest

from targets.rados import Namespace, RadosOptions, RadosTarget
from targets.rados.copies import LARGE_BYTES
from tests.support.rados_targets import KIB
from tests.support.servers.ceph import POOL, Ceph
from tests.support.volumes import random_bytes

BODY = random_bytes(LARGE_BYTES + KIB)
AT_A_TIME = 4


async def test_one_thread_copies_what_is_stored_however_much_is_stored_at_a_time(ceph: Ceph) -> None:
    target = RadosTarget(Namespace(POOL, ceph.namespace()), RadosOptions(conf=str(ceph.conf)))
    others = {*threading.enumerate()}
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(AT_A_TIME):
                group.create_task(target.put(f"key{number}", memoryview(BODY)))
        # Those of librados appear when they call back.
        ours = [thread.name for thread in {*threading.enumerate()} - others if thread.name.startswith("target-rados")]
        assert ours == ["target-rados-copy_0"]
        assert [await target.get(f"key{number}") for number in range(AT_A_TIME)] == [BODY] * AT_A_TIME
    finally:
        await target.aclose()


async def test_what_is_read_arrives_in_the_room_for_it_and_nobody_copies_it_again(target: RadosTarget) -> None:
    await target.put("key", b"content")
    buffer = bytearray(9)
    with memoryview(buffer)[1:-1] as room:
        assert await target._objects.read("get key", "key", 0, 7, room) is room
    assert buffer == b"\0content\0"


async def test_what_is_shorter_than_the_room_for_it_is_not_put_there(target: RadosTarget) -> None:
    await target.put("key", b"content")
    room = memoryview(bytearray(8))
    assert await target._objects.read("get key", "key", 0, 8, room) == b"content"
    assert room == bytes(8)


async def test_room_that_cannot_be_written_to_is_an_error_and_no_waiting(target: RadosTarget) -> None:
    await target.put("key", b"content")
    with pytest.raises(TypeError, match="cannot modify read-only memory"):
        await target.get_into("key", memoryview(b"content"))


async def test_buffer_can_be_resized_when_it_was_read_into(target: RadosTarget) -> None:
    await target.put("key", b"content")
    buffer = bytearray(7)
    await target.get_into("key", buffer)
    buffer.clear()
