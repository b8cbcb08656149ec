from __future__ import annotations

import asyncio
import errno
import fcntl
import mmap
import os
import random
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from targets.errors import ObjectExists, QuotaExceeded, ShortRead, Unavailable
from targets.local import LocalOptions, LocalTarget
from targets.local.files import LocalFiles, UnsyncedFiles
from targets.testing import keys
from tests.support.local_files import FailingFiles, GatedFiles


@pytest.fixture
async def gated(tmp_path: Path) -> AsyncIterator[tuple[LocalTarget, GatedFiles]]:
    files = GatedFiles()
    target = LocalTarget(tmp_path, LocalOptions(threads=1), files=files)
    yield target, files
    files.gate.set()
    await target.aclose()


def open_count() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def let_others_run() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_object_is_a_file_with_its_bytes(tmp_path: Path) -> None:
    target = LocalTarget(tmp_path)
    await target.put("packs/0a/1", b"content")
    await target.aclose()
    assert (tmp_path / "packs/0a/1").read_bytes() == b"content"


async def test_other_users_cannot_read_objects(tmp_path: Path) -> None:
    target = LocalTarget(tmp_path)
    await target.put("packs/1", b"content")
    await target.aclose()
    for name in (".tmp", "packs", "packs/1"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0


async def test_cancelled_put_waits_for_its_thread(tmp_path: Path, gated: tuple[LocalTarget, GatedFiles]) -> None:
    target, files = gated
    body = bytearray(b"content")
    async with asyncio.TaskGroup() as group:
        put = group.create_task(target.put("key", body))
        await files.reached.wait()
        for _ in range(3):
            put.cancel()
            await let_others_run()
            assert not put.done()
        files.gate.set()
    assert put.cancelled()
    body.clear()  # BufferError if the thread still has it.
    assert (tmp_path / "key").read_bytes() == b"content"
    assert [*(tmp_path / ".tmp").iterdir()] == []


async def test_put_cancelled_before_its_turn_never_starts(
    gated: tuple[LocalTarget, GatedFiles],
) -> None:
    target, files = gated
    async with asyncio.TaskGroup() as group:
        group.create_task(target.put("first", b"content"))
        await files.reached.wait()
        second = group.create_task(target.put("second", b"content"))
        await let_others_run()
        second.cancel()
        await let_others_run()
        assert second.cancelled()
        files.gate.set()
    await target.put("third", b"content")
    assert await keys(target) == ["first", "third"]


async def test_loop_runs_on_while_the_disk_is_busy(gated: tuple[LocalTarget, GatedFiles]) -> None:
    target, files = gated
    async with asyncio.TaskGroup() as group:
        put = group.create_task(target.put("key", b"content"))
        await files.reached.wait()  # The loop could wait for it, and the thread is held.
        assert not put.done()
        files.gate.set()


async def test_closing_waits_for_the_threads_but_not_on_the_loop(
    gated: tuple[LocalTarget, GatedFiles],
) -> None:
    target, files = gated
    async with asyncio.TaskGroup() as group:
        put = group.create_task(target.put("key", b"content"))
        await files.reached.wait()
        closing = group.create_task(target.aclose())
        await let_others_run()
        assert not closing.done()
        files.gate.set()
    assert put.done()


async def test_no_thread_is_left_after_closing(tmp_path: Path) -> None:
    target = LocalTarget(tmp_path)
    await target.put("key", b"content")
    await target.aclose()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("target-local")] == []


async def test_left_listing_leaves_nothing_open(tmp_path: Path) -> None:
    target = LocalTarget(tmp_path, LocalOptions(fsync=False))
    for number in range(10):
        await target.put(f"a/b/{number}", b"")
    before = open_count()
    listing = target.list("")
    assert (await anext(listing)).size_bytes == 0
    await listing.aclose()  # type: ignore[attr-defined]  # it is a generator, and the test knows it
    assert open_count() == before
    await target.aclose()


async def test_object_that_shrinks_while_read_is_a_short_read(tmp_path: Path) -> None:
    class CutFiles(LocalFiles):
        def pread(self, descriptor: int, length: int, offset: int) -> bytes:
            os.truncate(tmp_path / "key", 3)
            return super().pread(descriptor, length, offset)

    target = LocalTarget(tmp_path, files=CutFiles())
    await target.put("key", b"content")
    with pytest.raises(ShortRead, match="key: expected bytes up to 7, the object was cut to 3"):
        await target.get("key")
    await target.aclose()


@pytest.mark.parametrize("call", ["open", "stat", "pread", "close"])
async def test_failing_disk_is_not_a_missing_object(tmp_path: Path, call: str) -> None:
    files = FailingFiles()
    target = LocalTarget(tmp_path, files=files)
    await target.put("key", b"content")
    files.fail(call, errno.EIO)
    with pytest.raises(Unavailable, match="get key: input/output error"):
        await target.get("key")
    await target.aclose()


PAGES = memoryview(mmap.mmap(-1, 2 * 1024 * 1024))
PAGES[:] = random.Random(1).randbytes(len(PAGES))


class DirectFiles(FailingFiles):
    """Would write past the page cache on any file system."""

    def set_direct(self, descriptor: int, *, is_direct: bool) -> None:
        self.calls[-1] = "direct" if is_direct else "cached"


@pytest.mark.parametrize("size_bytes", [len(PAGES), len(PAGES) - 1, len(PAGES) - 4096, 1024 * 1024])
async def test_whole_blocks_of_a_large_object_are_written_past_the_page_cache(tmp_path: Path, size_bytes: int) -> None:
    files = DirectFiles()
    target = LocalTarget(tmp_path, files=files)
    await target.put("key", PAGES[:size_bytes])
    start = files.calls.index("direct")
    of_the_end = ["write"] if size_bytes % 4096 else []
    written = ["direct", "write", "cached", *of_the_end, "fsync"]
    assert files.calls[start : start + len(written)] == written
    assert await target.get("key") == PAGES[:size_bytes]
    await target.aclose()


def test_a_descriptor_writes_past_the_page_cache_as_long_as_it_is_told_to(tmp_path: Path) -> None:
    files = LocalFiles()
    with files.opened(str(tmp_path / "file"), os.O_WRONLY | os.O_CREAT) as file:
        before = fcntl.fcntl(file, fcntl.F_GETFL)
        try:
            files.set_direct(file, is_direct=True)
        except OSError as error:
            assert error.errno == errno.EINVAL  # noqa: PT017 - a file system may refuse it, and in no other way
        else:
            assert fcntl.fcntl(file, fcntl.F_GETFL) == before | os.O_DIRECT
        files.set_direct(file, is_direct=False)
        assert fcntl.fcntl(file, fcntl.F_GETFL) == before


async def test_a_small_object_is_written_as_it_comes(tmp_path: Path) -> None:
    files = FailingFiles()
    target = LocalTarget(tmp_path, files=files)
    await target.put("key", PAGES[: 1024 * 1024 - 1])
    assert "set_direct" not in files.calls
    await target.aclose()


async def test_what_is_not_aligned_to_blocks_is_stored_all_the_same(tmp_path: Path) -> None:
    target = LocalTarget(tmp_path)
    await target.put("key", PAGES[5:])
    assert await target.get("key") == PAGES[5:]
    await target.aclose()


@pytest.mark.parametrize("call", ["set_direct", "write"])
async def test_a_disk_that_does_not_write_past_the_page_cache_writes_as_it_can(tmp_path: Path, call: str) -> None:
    files = FailingFiles()
    target = LocalTarget(tmp_path, files=files)
    files.fail(call, errno.EINVAL)
    await target.put("key", PAGES)
    assert await target.get("key") == PAGES
    await target.aclose()


async def test_every_call_of_a_large_put_that_fails_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    files = FailingFiles()
    target = LocalTarget(tmp_path, files=files)
    await target.put("other", b"content")
    files.fail(None, 0)
    await target.put("key", PAGES)
    calls = files.calls
    for number, call in enumerate(calls, start=1):
        files.fail(number, errno.ENOSPC)
        if call == "unlink":
            await target.put("key", PAGES)  # Decided already: the temporary file has its name.
            continue
        with pytest.raises(QuotaExceeded):
            await target.put("key", PAGES)
        assert await target.get("key") == PAGES
    files.fail(None, 0)
    assert {info.key async for info in target.list("")} == {"key", "other"}
    assert [*(tmp_path / ".tmp").iterdir()] == []
    await target.aclose()


async def test_loser_of_a_race_syncs_the_name_of_the_winner(tmp_path: Path) -> None:
    files = FailingFiles()
    target = LocalTarget(tmp_path, files=files)
    await target.put("key", b"first")
    files.fail(None, 0)
    with pytest.raises(ObjectExists):
        await target.put("key", b"second", if_absent=True)
    assert "fsync" in files.calls[files.calls.index("link") :]
    await target.aclose()


def test_sync_can_be_switched_off() -> None:
    closed = os.open("/dev/null", os.O_RDONLY)
    os.close(closed)
    UnsyncedFiles().fsync(closed)  # The real one would say: bad file descriptor.
