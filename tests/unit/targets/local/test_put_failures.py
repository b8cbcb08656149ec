"""Any system call of a put can fail; whichever it is, it leaves the old object or the new one, nothing else."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path

import pytest

from targets.errors import PermissionDenied, QuotaExceeded, TargetError, TargetReadOnly, Unavailable
from targets.local import LocalTarget
from tests.support.local_files import DribblingFiles, FailingFiles

OLD, NEW = b"old" * 1000, b"new!" * 1000
ERRORS = [
    (errno.ENOSPC, QuotaExceeded),
    (errno.EDQUOT, QuotaExceeded),
    (errno.EROFS, TargetReadOnly),
    (errno.EACCES, PermissionDenied),
    (errno.EIO, Unavailable),
]


@pytest.fixture
def files() -> FailingFiles:
    return FailingFiles()


@pytest.fixture
async def target(tmp_path: Path, files: FailingFiles) -> AsyncIterator[LocalTarget]:
    target = LocalTarget(tmp_path, files=files)
    yield target
    await target.aclose()


def leftovers(root: Path) -> list[str]:
    return [path.name for path in (root / ".tmp").iterdir()]


async def failure(operation: Coroutine[object, object, None]) -> TargetError | None:
    try:
        await operation
    except TargetError as error:
        return error
    return None


def open_count() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


@pytest.mark.parametrize(("number", "kind"), ERRORS)
async def test_overwriting_fails_cleanly_at_every_call(
    tmp_path: Path, target: LocalTarget, files: FailingFiles, number: int, kind: type[TargetError]
) -> None:
    await target.put("folder/key", OLD)
    before, at = open_count(), 0
    while at <= len(files.calls):
        at += 1
        await target.put("folder/key", OLD)
        files.fail(at, number)
        error = await failure(target.put("folder/key", NEW))
        failed = files.calls[at - 1 : at]
        assert type(error) is kind or failed in ([], ["unlink"])
        committed = "replace" in files.calls and failed != ["replace"]
        assert (tmp_path / "folder/key").read_bytes() == (NEW if committed else OLD)
        assert (leftovers(tmp_path), open_count()) == ([], before)
    assert at > 15


@pytest.mark.parametrize(("number", "kind"), ERRORS)
async def test_first_put_fails_cleanly_at_every_call(
    tmp_path: Path, target: LocalTarget, files: FailingFiles, number: int, kind: type[TargetError]
) -> None:
    before, at = open_count(), 0
    while at <= len(files.calls):
        at += 1
        files.fail(at, number)
        key = f"folder-{at}/below/key"
        error = await failure(target.put(key, NEW, if_absent=True))
        failed = files.calls[at - 1 : at]
        assert type(error) is kind or failed in ([], ["unlink"])
        path = tmp_path / key
        assert not path.exists() or path.read_bytes() == NEW
        assert path.exists() == ("link" in files.calls and failed != ["link"])
        assert len(leftovers(tmp_path)) == (1 if failed == ["unlink"] else 0)
        for name in leftovers(tmp_path):
            (tmp_path / ".tmp" / name).unlink()
        assert open_count() == before
    assert at > 15


async def test_temporary_file_that_could_not_be_removed_does_not_fail_the_put(
    tmp_path: Path, target: LocalTarget, files: FailingFiles
) -> None:
    files.fail("unlink", errno.EIO)
    await target.put("key", NEW, if_absent=True)
    assert (tmp_path / "key").read_bytes() == NEW
    assert len(leftovers(tmp_path)) == 1


async def test_put_that_failed_can_be_repeated(tmp_path: Path, target: LocalTarget, files: FailingFiles) -> None:
    files.fail("mkdir", errno.ENOSPC)
    with pytest.raises(QuotaExceeded):
        await target.put("folder/key", NEW)
    await target.put("folder/key", NEW)
    assert (tmp_path / "folder/key").read_bytes() == NEW


async def test_short_writes_and_reads_are_continued(tmp_path: Path) -> None:
    target = LocalTarget(tmp_path, files=DribblingFiles())
    body, room = os.urandom(12_345), bytearray(12_000)
    await target.put("key", body)
    await target.get_into("key", room, offset=345)
    assert await target.get("key", offset=1) == body[1:]
    assert room == body[345:]
    await target.aclose()


async def test_body_is_on_disk_before_its_name(target: LocalTarget, files: FailingFiles) -> None:
    files.fail(None, 0)
    await target.put("new/key", NEW, if_absent=True)
    order = [call for call in files.calls if call in ("write", "fsync", "mkdir", "link", "unlink")]
    # The file; the directory in which "new" was made; the name in "new".
    assert order == ["write", "fsync", "mkdir", "fsync", "link", "fsync", "unlink"]


_BEYOND_THE_LIMIT = """
import asyncio, resource, sys
from pathlib import Path
from targets.errors import QuotaExceeded
from targets.local import LocalTarget

async def main():
    target = LocalTarget(Path(sys.argv[1]))
    await target.put("key", bytes(1000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        await target.put("key", bytes(200_000))
    except QuotaExceeded as error:
        print(error)
    await target.aclose()

asyncio.run(main())
"""


def test_real_limit_of_the_system_is_a_quota(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _BEYOND_THE_LIMIT, str(tmp_path)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    assert ended.stdout == "put key: file too large\n"
    assert (tmp_path / "key").read_bytes() == bytes(1000)
    assert leftovers(tmp_path) == []
