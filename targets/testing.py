"""What every target and every wrapper must do, as a test class: subclass it and give it a ``target`` fixture.

The suite remembers what it stored and compares what is read with that, never with another read.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol

import pytest

from targets.base import SweepsOrphans, Target
from targets.errors import InvalidKey, ObjectExists, ObjectNotFound, ShortRead, TargetError, Unsupported
from targets.keys import KEY_LENGTH_MAX, SEGMENT_LENGTH_MAX

MANY_COUNT = 1500  # More than a page of any object store's listing.
LARGE_BYTES = 20 * 1024 * 1024

ILLEGAL_KEYS = (
    *("", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/../b", "a/./b", ".tmp/a", "a/.hidden"),
    *("A", "ä", "a b", "a\n", "a\0b", "a\\b", "a:b", "%2e%2e/a", "\N{FULLWIDTH FULL STOP}./a", "\ud800"),
    *("x" * (SEGMENT_LENGTH_MAX + 1), "x/" * (KEY_LENGTH_MAX // 2) + "x"),
)


async def keys(target: Target, prefix: str = "") -> list[str]:
    """Return the keys of a listing, sorted."""
    return sorted([info.key async for info in target.list(prefix)])


async def cancelled(operation: Coroutine[object, object, object], steps: int) -> None:
    """Let an operation make a few steps, cancel it and wait until it has ended."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(operation)
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()


class LeavingTarget(Target, SweepsOrphans, Protocol):
    """A target whose writes may leave something."""


Leave = Callable[[str], Awaitable[None]]


def _refusals(target: Target) -> type[TargetError]:
    """Return how a put is refused that must find the key absent: it exists, or nobody can tell."""
    return ObjectExists if target.capabilities.conditional_put else Unsupported


class TargetContract:
    """The contract of ``targets.base.Target``. ``many_count``: objects of the long listing, some pages of the store."""

    many_count = MANY_COUNT

    async def test_object_is_read_as_it_was_stored(self, target: Target) -> None:
        await target.put("folder/object-1.bin", b"content")
        assert await target.get("folder/object-1.bin") == b"content"

    async def test_empty_object_is_an_object(self, target: Target) -> None:
        await target.put("empty", b"")
        assert await target.get("empty") == b""
        assert (await target.head("empty")).size_bytes == 0

    async def test_large_object_is_read_as_it_was_stored(self, target: Target) -> None:
        content = random.Random(1).randbytes(LARGE_BYTES)
        await target.put("large", memoryview(content))
        assert await target.get("large") == content

    async def test_long_names_are_taken(self, target: Target) -> None:
        key = f"{'a' * SEGMENT_LENGTH_MAX}/{'b' * 200}"  # A wrapper may need the rest for a prefix.
        await target.put(key, b"content")
        assert await keys(target) == [key]

    async def test_range_is_exact(self, target: Target) -> None:
        await target.put("key", b"0123456789")
        assert await target.get("key", offset=3, length=4) == b"3456"
        assert await target.get("key", offset=3) == b"3456789"
        assert await target.get("key", length=0) == b""
        assert await target.get("key", offset=8, length=2) == b"89"
        assert await target.get("key", offset=10) == b""
        assert await target.get("key", offset=10, length=0) == b""

    @pytest.mark.parametrize(("offset", "length"), [(0, 11), (9, 2), (10, 1), (11, 0), (11, None), (2**40, 1)])
    async def test_range_past_the_end_is_refused(self, target: Target, offset: int, length: int | None) -> None:
        await target.put("key", b"0123456789")
        with pytest.raises(ShortRead):
            await target.get("key", offset=offset, length=length)

    @pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (-1, None)])
    async def test_negative_range_is_refused(self, target: Target, offset: int, length: int | None) -> None:
        await target.put("key", b"0123456789")
        with pytest.raises(ValueError, match="must not be negative"):
            await target.get("key", offset=offset, length=length)

    async def test_buffer_is_filled_and_nothing_beside_it(self, target: Target) -> None:
        await target.put("key", b"0123456789")
        room = bytearray(b"........")
        await target.get_into("key", memoryview(room)[2:6], offset=5)
        assert room == b"..5678.."

    async def test_buffer_larger_than_the_rest_is_refused(self, target: Target) -> None:
        await target.put("key", b"0123456789")
        with pytest.raises(ShortRead):
            await target.get_into("key", bytearray(6), offset=5)

    async def test_absent_object_is_not_found(self, target: Target) -> None:
        await target.put("present", b"content")
        with pytest.raises(ObjectNotFound, match="absent"):
            await target.get("absent")
        with pytest.raises(ObjectNotFound):
            await target.get_into("absent", bytearray(1))
        with pytest.raises(ObjectNotFound, match="absent"):
            await target.head("absent")
        with pytest.raises(ObjectNotFound):
            await target.get("present/below")

    async def test_folder_is_no_object(self, target: Target) -> None:
        await target.put("folder/object", b"content")
        with pytest.raises(ObjectNotFound):
            await target.get("folder")
        await target.delete("folder")
        assert await keys(target) == ["folder/object"]

    async def test_head_gives_key_and_size(self, target: Target) -> None:
        await target.put("folder/key", b"content")
        info = await target.head("folder/key")
        assert (info.key, info.size_bytes) == ("folder/key", 7)

    async def test_deleted_object_is_gone(self, target: Target) -> None:
        await target.put("key", b"content")
        await target.delete("key")
        with pytest.raises(ObjectNotFound):
            await target.get("key")
        assert await keys(target) == []
        await target.put("key", b"again", if_absent=target.capabilities.conditional_put)

    async def test_absent_object_can_be_deleted(self, target: Target) -> None:
        await target.put("folder/key", b"content")
        for key in ("folder/key", "folder/key", "never/there", "folder/key/below"):
            await target.delete(key)

    async def test_many_are_deleted_at_once_absent_ones_too(self, target: Target) -> None:
        await target.put("kept", b"content")
        written = [f"folder/{number}" for number in range(20)]
        for key in written:
            await target.put(key, b"content")
        await target.delete_many([*written, "never/there", "folder", written[0]])
        assert await keys(target) == ["kept"]
        await target.delete_many([])

    async def test_one_illegal_key_of_many_deletes_nothing(self, target: Target) -> None:
        await target.put("key", b"content")
        with pytest.raises(InvalidKey):
            await target.delete_many(["key", "../key"])
        assert await keys(target) == ["key"]

    async def test_overwriting_replaces_the_object(self, target: Target) -> None:
        await target.put("key", b"a longer old object")
        await target.put("key", b"new")
        assert await target.get("key") == b"new"
        assert (await target.head("key")).size_bytes == 3

    async def test_taken_key_is_kept_if_it_must_be_absent(self, target: Target) -> None:
        await target.put("key", b"first")
        with pytest.raises(_refusals(target)):
            await target.put("key", b"second", if_absent=True)
        assert await target.get("key") == b"first"

    async def test_free_key_is_taken_or_the_target_says_that_it_cannot_tell(self, target: Target) -> None:
        if target.capabilities.conditional_put:
            await target.put("key", b"first", if_absent=True)
            assert await target.get("key") == b"first"
        else:
            with pytest.raises(Unsupported, match="key"):
                await target.put("key", b"first", if_absent=True)
            assert await keys(target) == []

    async def test_exactly_one_of_many_writers_wins(self, target: Target) -> None:
        winners: list[bytes] = []

        async def write(body: bytes) -> None:
            try:
                await target.put("folder/key", body, if_absent=True)
            except _refusals(target):
                return
            winners.append(body)

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(write(b"%d" % number * 100_000))
        assert len(winners) == target.capabilities.conditional_put
        assert [await target.get(key) for key in await keys(target)] == winners

    async def test_readers_see_one_of_two_objects_whole(self, target: Target) -> None:
        bodies = (b"a" * 300_000, b"b" * 200_000)
        await target.put("key", bodies[0])

        async def write() -> None:
            for number in range(20):
                await target.put("key", bodies[number % 2])

        async with asyncio.TaskGroup() as group:
            writer = group.create_task(write())
            while not writer.done():
                assert await target.get("key") in bodies

    async def test_many_at_once_do_not_meet(self, target: Target) -> None:
        async def write_and_read(number: int) -> None:
            key, body = f"folder-{number % 7}/{number}", b"%d" % number * 1000
            await target.put(key, body)
            assert await target.get(key) == body

        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(write_and_read(number))
        assert len(await keys(target)) == 100

    async def test_listing_gives_what_has_the_prefix(self, target: Target) -> None:
        for key in ("packs/ab/1", "packs/ab/22", "packs/b", "packsack", "manifests/1"):
            await target.put(key, key.encode())
        assert await keys(target, "packs/") == ["packs/ab/1", "packs/ab/22", "packs/b"]
        assert await keys(target, "packs/ab/2") == ["packs/ab/22"]
        assert await keys(target, "packs") == ["packs/ab/1", "packs/ab/22", "packs/b", "packsack"]
        assert await keys(target, "manifests/1") == ["manifests/1"]
        assert len(await keys(target)) == 5
        assert {info.size_bytes async for info in target.list("packs/ab/2")} == {len("packs/ab/22")}

    async def test_prefix_that_matches_nothing_lists_nothing(self, target: Target) -> None:
        assert await keys(target) == []
        await target.put("a/b", b"content")
        for prefix in ("b", "a/c", "a/b/", "a/b/c", "c/d/"):
            assert await keys(target, prefix) == []

    async def test_long_listing_is_complete(self, target: Target) -> None:
        written = [f"folder-{number % 3}/{number:04}" for number in range(self.many_count)]

        async def write(share: list[str]) -> None:
            for key in share:
                await target.put(key, b"")

        async with asyncio.TaskGroup() as group:
            for writer in range(8):
                group.create_task(write(written[writer::8]))
        assert await keys(target, "folder-") == sorted(written)

    async def test_listing_may_be_left_early(self, target: Target) -> None:
        for number in range(3):
            await target.put(f"folder/{number}", b"content")
        async for _ in target.list("folder/"):
            break
        assert len(await keys(target)) == 3

    async def test_objects_can_be_read_and_deleted_while_listing(self, target: Target) -> None:
        for number in range(20):
            await target.put(f"folder/{number}", b"content")
        async for info in target.list(""):
            assert await target.get(info.key) == b"content"
            await target.delete(info.key)
        assert await keys(target) == []

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    async def test_body_may_be_any_buffer(
        self, target: Target, kind: Callable[[bytes], bytes | bytearray | memoryview]
    ) -> None:
        await target.put("key", kind(b"content"))
        assert await target.get("key") == b"content"

    async def test_buffer_of_other_items_is_stored_by_its_bytes(self, target: Target) -> None:
        await target.put("key", memoryview(b"12345678").cast("I"))
        assert await target.get("key") == b"12345678"

    async def test_caller_may_reuse_and_resize_its_buffer(self, target: Target) -> None:
        body = bytearray(b"content" * 1000)
        await target.put("key", body)
        body[:7] = b"garbage"
        del body[7:]  # BufferError if anything still refers to it.
        assert await target.get("key") == b"content" * 1000

    async def test_buffer_is_free_after_a_refused_put(self, target: Target) -> None:
        body = bytearray(b"content")
        await target.put("key", b"taken")
        with pytest.raises(_refusals(target)):
            await target.put("key", body, if_absent=True)
        body.clear()

    @pytest.mark.parametrize("steps", range(6))
    async def test_cancelled_put_leaves_the_old_object_or_the_new_one(self, target: Target, steps: int) -> None:
        old, new = b"old" * 100_000, bytearray(b"new!" * 1_000_000)
        await target.put("key", old)
        await cancelled(target.put("key", new), steps)
        content = bytes(new)
        new.clear()  # BufferError if the put still goes on.
        assert await target.get("key") in (old, content)
        assert await keys(target) == ["key"]

    @pytest.mark.parametrize("steps", range(6))
    async def test_cancelled_first_put_leaves_nothing_or_all(self, target: Target, steps: int) -> None:
        body = b"content" * 500_000
        await cancelled(target.put("folder/key", body, if_absent=target.capabilities.conditional_put), steps)
        found = await keys(target)
        assert found == [] or (found == ["folder/key"] and await target.get("folder/key") == body)

    @pytest.mark.parametrize("key", ILLEGAL_KEYS, ids=ascii)
    async def test_illegal_key_is_refused_by_every_operation(self, target: Target, key: str) -> None:
        operations: tuple[Callable[[], Awaitable[object]], ...] = (
            *(lambda: target.put(key, b""), lambda: target.get(key), lambda: target.head(key)),
            *(lambda: target.get_into(key, bytearray(1)), lambda: target.delete(key)),
            lambda: target.delete_many([key]),
        )
        for operation in operations:
            with pytest.raises(InvalidKey):
                await operation()

    @pytest.mark.parametrize("prefix", ["/", "..", "../", "a/../", "a//", ".tmp/", "A", "/etc", "a\0"], ids=ascii)
    async def test_illegal_prefix_is_refused(self, target: Target, prefix: str) -> None:
        with pytest.raises(InvalidKey):
            await keys(target, prefix)

    async def test_it_may_be_closed_twice(self, target: Target) -> None:
        await target.put("key", b"content")
        await target.aclose()
        await target.aclose()

    def test_it_says_what_it_can_do(self, target: Target) -> None:
        assert target.capabilities.name
        assert target.capabilities.object_size_bytes_max >= LARGE_BYTES


class LeavingsContract:
    """The contract of ``targets.base.SweepsOrphans``.

    Give it a ``target``, and a ``leave`` that lets a write to a key break off as the death of its process does.
    """

    async def test_a_finished_write_leaves_nothing(self, target: LeavingTarget) -> None:
        await target.put("folder/whole", bytes(LARGE_BYTES))
        assert [one async for one in target.leavings("")] == []

    async def test_what_broke_off_is_found_and_removed(self, target: LeavingTarget, leave: Leave) -> None:
        await leave("folder/broken")
        found = [one async for one in target.leavings("folder/")]
        assert {one.key for one in found} in ({"folder/broken"}, {""})
        await target.remove_leavings(found)
        await target.remove_leavings(found)
        assert [one async for one in target.leavings("folder/")] == []
        assert await keys(target) == []

    async def test_objects_stay_when_leavings_are_removed(self, target: LeavingTarget, leave: Leave) -> None:
        body = random.Random(1).randbytes(LARGE_BYTES)
        await target.put("folder/broken", body)
        await leave("folder/broken")
        await target.remove_leavings([one async for one in target.leavings("")])
        assert await target.get("folder/broken") == body

    async def test_what_has_a_key_is_found_by_its_prefix_only(self, target: LeavingTarget, leave: Leave) -> None:
        await leave("one/broken")
        assert {one.key async for one in target.leavings("another/")} <= {""}
