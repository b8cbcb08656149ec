"""How often the service copies what it stores and reads, beside what the binding and librados copy."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

import pytest

from targets.rados import Namespace, RadosOptions, RadosTarget, objects
from targets.rados.copies import LARGE_BYTES, as_bytes, fill
from tests.support.rados_targets import KIB
from tests.support.servers.ceph import POOL, Ceph
from tests.support.volumes import random_bytes

BODY = random_bytes(LARGE_BYTES + KIB)
AT_A_TIME = 4


@dataclass
class Copied:
    """What was copied: how many bytes, in which thread. The copies are made all the same."""

    stored: list[tuple[int, int]] = field(default_factory=list)
    read: list[tuple[int, int]] = field(default_factory=list)

    def as_bytes(self, body: memoryview) -> bytes:
        self.stored.append((body.nbytes, threading.get_ident()))
        return as_bytes(body)

    def fill(self, room: memoryview, content: bytes) -> None:
        self.read.append((len(content), threading.get_ident()))
        fill(room, content)


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> Copied:
    copied = Copied()
    monkeypatch.setattr(objects, "as_bytes", copied.as_bytes)
    monkeypatch.setattr(objects, "fill", copied.fill)
    return copied


async def test_large_objects_are_copied_once_each_way_and_never_by_the_loop(ceph: Ceph, copied: Copied) -> None:
    target = RadosTarget(Namespace(POOL, ceph.namespace()), RadosOptions(conf=str(ceph.conf)))
    rooms = [bytearray(len(BODY)) for _ in range(AT_A_TIME)]
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(AT_A_TIME):
                group.create_task(target.put(f"key{number}", memoryview(BODY)))
        async with asyncio.TaskGroup() as group:
            for number, room in enumerate(rooms):
                group.create_task(target.get_into(f"key{number}", room))
    finally:
        await target.aclose()
    assert rooms == [BODY] * AT_A_TIME
    for copies in (copied.stored, copied.read):
        assert [size_bytes for size_bytes, _ in copies] == [len(BODY)] * AT_A_TIME
        assert threading.get_ident() not in {thread for _, thread in copies}
    # Memory that one thread takes and gives back is used again.
    assert len({thread for _, thread in copied.stored}) == 1


async def test_parts_are_copied_once_straight_to_their_place(target: RadosTarget, copied: Copied) -> None:
    await target.put("key", BODY)
    room = bytearray(len(BODY))
    await target.get_into("key", room)
    assert room == BODY
    assert sum(size_bytes for size_bytes, _ in copied.read) == len(BODY)


async def test_room_that_cannot_be_written_to_is_an_error_and_no_waiting(target: RadosTarget) -> None:
    await target.put("key", b"content")
    with pytest.raises(TypeError, match="cannot modify read-only memory"):
        await target.get_into("key", memoryview(b"content"))


async def test_buffer_can_be_resized_when_it_was_read_into(target: RadosTarget) -> None:
    await target.put("key", b"content")
    buffer = bytearray(7)
    await target.get_into("key", buffer)
    buffer.clear()
