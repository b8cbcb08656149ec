from __future__ import annotations

import asyncio

import pytest

from backupd.simulation.loop import run_simulated
from targets.base import Body
from targets.errors import ObjectExists, ObjectNotFound, QuotaExceeded, Unavailable
from targets.memory import MemoryTarget
from targets.testing import keys
from targets.wrappers.faults import Effect, Fault, Faults
from targets.wrappers.mirror import Mirror


def failing(operation: str, error: type[Exception] = Unavailable) -> Faults:
    """Return a store of which one operation always fails."""
    return Faults(MemoryTarget(), [Fault(operation=operation, error=error)])  # type: ignore[arg-type]  # A TargetError.


async def test_every_member_gets_what_is_written() -> None:
    a, b = MemoryTarget(), MemoryTarget()
    mirror = Mirror({"a": a, "b": b})
    await mirror.put("key", b"content", if_absent=True)
    await mirror.put("other", b"content")
    assert await keys(a) == await keys(b) == ["key", "other"]
    assert mirror.complete == ["a", "b"]


async def test_a_member_that_fails_lags_and_is_asked_no_more() -> None:
    a, b = MemoryTarget(), failing("put")
    mirror = Mirror({"a": a, "b": b})
    await mirror.put("key", b"content")
    await mirror.put("other", b"content")
    assert mirror.complete == ["a"]
    assert mirror.lagging == {"b": "target.unavailable: put key: injected fault (error)"}
    assert [operation for operation, _ in b.calls] == ["put"]


@pytest.mark.parametrize("if_absent", [False, True])
async def test_fewer_members_than_the_quorum_are_an_error(*, if_absent: bool) -> None:
    mirror = Mirror({"a": MemoryTarget(), "b": failing("put", QuotaExceeded)}, quorum=2)
    for key in ("key", "other"):
        with pytest.raises(QuotaExceeded, match=r"1 of 2 copies can be written: b: target\.quota_exceeded"):
            await mirror.put(key, b"content", if_absent=if_absent)


async def test_when_the_first_fails_the_next_decides_a_conditional_put() -> None:
    b, c = MemoryTarget(), MemoryTarget()
    mirror = Mirror({"a": failing("put"), "b": b, "c": c})
    await mirror.put("key", b"first", if_absent=True)
    assert await b.get("key") == await c.get("key") == b"first"
    with pytest.raises(ObjectExists):
        await mirror.put("key", b"second", if_absent=True)
    assert await c.get("key") == b"first"


async def test_who_is_behind_is_not_written_to_but_read_when_nobody_else_has_it() -> None:
    a, b = MemoryTarget(), MemoryTarget()
    await b.put("old", b"content")
    mirror = Mirror({"b": b, "a": a}, behind={"b": "waits for its copies"})
    await mirror.put("new", b"content")
    assert await keys(b) == ["old"]
    assert await mirror.get("old") == b"content"
    with pytest.raises(ObjectNotFound):
        await mirror.head("old")


async def test_reading_goes_on_with_the_next_member_and_remembers_it() -> None:
    a, b = failing("get"), MemoryTarget()
    for member in (a, b):
        await member.put("key", b"content")
    mirror = Mirror({"a": a, "b": b})
    room = bytearray(7)
    assert await mirror.get("key") == b"content"
    await mirror.get_into("key", room)
    assert room == b"content"
    assert [call for call in a.calls if call[0] == "get"] == [("get", "key")]


async def test_an_object_is_lost_only_when_every_member_could_be_asked() -> None:
    with pytest.raises(ObjectNotFound):
        await Mirror({"a": MemoryTarget(), "b": MemoryTarget()}).get("key")
    with pytest.raises(Unavailable):
        await Mirror({"a": MemoryTarget(), "b": failing("get")}).get("key")


async def test_what_one_member_lacks_is_not_there_for_who_means_to_leave_it_out() -> None:
    a, b = MemoryTarget(), MemoryTarget()
    await a.put("key", b"content")
    with pytest.raises(ObjectNotFound):
        await Mirror({"a": a, "b": b}).head("key")
    assert (await Mirror({"a": a, "b": b}, behind={"b": "late"}).head("key")).size_bytes == 7


async def test_an_answer_that_was_lost_leaves_a_member_behind_and_no_other() -> None:
    b = Faults(MemoryTarget(), [Fault(effect=Effect.LOST_RESPONSE, operation="put", at_call=1)])
    mirror = Mirror({"a": MemoryTarget(), "b": b, "c": MemoryTarget()}, quorum=2)
    await mirror.put("key", b"content")
    assert mirror.complete == ["a", "c"]


class Hanging(MemoryTarget):
    """A store that never answers a put."""

    def __init__(self) -> None:
        super().__init__()
        self.given_up = 0

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up += 1


@pytest.mark.parametrize("if_absent", [False, True])
async def test_a_member_that_hangs_keeps_nobody_waiting_once_enough_have_it(*, if_absent: bool) -> None:
    a, b = MemoryTarget(), Hanging()
    mirror = Mirror({"a": a, "b": b}, patience_s=0)
    await mirror.put("key", b"content", if_absent=if_absent)
    await mirror.put("other", b"content", if_absent=if_absent)
    assert await keys(a) == ["key", "other"]
    assert mirror.lagging == {"b": "target.timed_out: not stored 0 s after 1 others had it"}
    assert b.given_up == 1


def test_a_member_that_hangs_is_waited_for_while_fewer_than_the_quorum_have_it() -> None:
    async def scenario() -> None:
        b = Hanging()
        mirror = Mirror({"a": MemoryTarget(), "b": b}, quorum=2, patience_s=0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await mirror.put("key", b"content")
        assert (mirror.lagging, b.given_up) == ({}, 1)

    run_simulated(scenario(), seed=1)
