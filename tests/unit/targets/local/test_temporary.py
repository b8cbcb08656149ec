from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from targets.local import LocalTarget, temporary

_HANGS_BEFORE_THE_NAME = """
import asyncio, sys, threading
from pathlib import Path
from targets.local import LocalTarget
from targets.local.files import LocalFiles

class Files(LocalFiles):
    def fsync(self, descriptor):
        print("written", flush=True)
        threading.Event().wait()

asyncio.run(LocalTarget(Path(sys.argv[1]), files=Files()).put("key", bytes(1000)))
"""


def leftovers(root: Path) -> list[str]:
    return [path.name for path in (root / ".tmp").iterdir()]


async def leftovers_after_opening(root: Path) -> list[str]:
    await LocalTarget(root).aclose()
    return leftovers(root)


def unfinished(root: Path, name: str, *, age_s: float = 0) -> Path:
    path = root / ".tmp" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"unfinished")
    times_s = path.stat().st_mtime - age_s
    os.utime(path, (times_s, times_s))
    return path


def kill_a_writer(root: Path) -> None:
    command = [sys.executable, "-c", _HANGS_BEFORE_THE_NAME, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        writer.kill()


def pid_of_the_dead() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        return ended.pid


async def test_killed_writer_leaves_what_the_next_start_removes(tmp_path: Path) -> None:
    kill_a_writer(tmp_path)
    assert len(leftovers(tmp_path)) == 1
    assert await leftovers_after_opening(tmp_path) == []
    assert not (tmp_path / "key").exists()


async def test_file_of_a_living_writer_stays(tmp_path: Path) -> None:
    ours = unfinished(tmp_path, temporary.new_name())
    assert await leftovers_after_opening(tmp_path) == [ours.name]


async def test_file_of_the_same_pid_elsewhere_stays(tmp_path: Path) -> None:
    theirs = unfinished(tmp_path, f"not-{socket.gethostname()}.{pid_of_the_dead()}.00")
    assert await leftovers_after_opening(tmp_path) == [theirs.name]


async def test_old_file_is_removed_whoever_wrote_it(tmp_path: Path) -> None:
    unfinished(tmp_path, "elsewhere.1.00", age_s=temporary.AGE_S_MAX + 1)
    young = unfinished(tmp_path, "elsewhere.2.00", age_s=temporary.AGE_S_MAX - 60)
    assert await leftovers_after_opening(tmp_path) == [young.name]


@pytest.mark.parametrize("name", ["", ".", "..", "{host}.x.00", "{host}.99999999999999999999.00", "{host}.-1.00"])
async def test_strange_name_does_no_harm(tmp_path: Path, name: str) -> None:
    unfinished(tmp_path, f"x{name.format(host=socket.gethostname())}")
    await leftovers_after_opening(tmp_path)


async def test_directory_among_them_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / ".tmp" / f"{socket.gethostname()}.4194305.00").mkdir(parents=True)
    unfinished(tmp_path, "elsewhere.1.00", age_s=temporary.AGE_S_MAX + 1)
    assert len(await leftovers_after_opening(tmp_path)) == 1


def test_every_name_is_new() -> None:
    assert len({temporary.new_name() for _ in range(100)}) == 100
