"""What goes wrong with a source: told in a sentence that names it, and the next backup succeeds."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.crashes import resumed
from tests.support.daemon import ROOT, Place
from tests.support.loop_device import AttachLoop
from tests.support.volumes import random_bytes

MIB = 1024 * 1024
CONTENT = random_bytes(24 * MIB)
SLOW_BYTES_PER_S = 12 * MIB
QEMU_WRITE_BYTE = 101
OPEN_AND_TELL = """
import os, sys
from contextlib import suppress
from chunker.errors import SourceUnreadable
from chunker.sources.file import FileSource
with suppress(PermissionError):  # Whoever is not root is not above permissions anyway.
    os.setuid(65534)
try:
    FileSource(sys.argv[1]).open()
except SourceUnreadable as error:
    sys.stdout.write(str(error))
"""


@pytest.fixture
def disk(place: Place) -> Path:
    place.configure(bytes_per_s=SLOW_BYTES_PER_S)
    path = place.sources / "disk"
    path.write_bytes(CONTENT)
    return path


async def failure(api: Api, job: Any) -> tuple[str, str]:
    ended = await api.ended(job)
    backup = await api.get(f"/v1/backups/{job['backup_id']}")
    assert (ended["state"], backup["state"]) == ("failed", "error")
    assert ended["failure"] == backup["failure"]
    return ended["failure"]["code"], ended["failure"]["message"]


async def assert_next_one_succeeds(api: Api, place: Place) -> None:
    assert place.leftovers() == []
    (place.sources / "disk").write_bytes(CONTENT[:MIB])
    backup = await api.back_up("disk")
    assert (await api.restore(backup, place.restores / "disk")).read_bytes() == CONTENT[:MIB]


def shrink(path: Path) -> None:
    os.truncate(path, 4 * MIB)


def swap(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(CONTENT)
    other.rename(path)


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"changed")


@pytest.mark.parametrize(
    ("change", "codes", "text"),
    [
        (shrink, ("source.too_short", "source.changed"), "bytes"),
        (swap, ("source.changed",), "it was file:"),
        (overwrite, ("source.changed",), "changed while it was read"),
        (Path.unlink, ("source.missing",), "no such file"),
    ],
)
async def test_volume_that_does_not_hold_still(
    place: Place, disk: Path, change: Callable[[Path], None], codes: tuple[str, ...], text: str
) -> None:
    async with resumed(place) as api:
        job = await api.progressed(await api.start_backup(await api.add_volume(disk)))
        change(disk)
        code, message = await failure(api, job)
        assert code in codes
        assert str(disk) in message
        assert text in message
        await assert_next_one_succeeds(api, place)


async def test_volume_that_is_gone_is_refused_at_once(place: Place, disk: Path) -> None:
    async with resumed(place) as api:
        await api.add_volume(disk)
        disk.unlink()
        status, problem = await api.ask("/v1/backups", {"volume": "disk"})
        assert (status, problem["code"]) == (409, "conflict")
        assert str(disk) in problem["detail"]
        await assert_next_one_succeeds(api, place)


async def test_image_of_a_running_guest_is_busy(place: Place, disk: Path) -> None:
    async with resumed(place) as api:
        await api.add_volume(disk)
        with disk.open("r+b") as held:
            lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, QEMU_WRITE_BYTE, 1, 0)
            fcntl.fcntl(held, fcntl.F_OFD_SETLK, lock)
            code, message = await failure(api, await api.start_backup("disk"))
        assert code == "source.busy"
        assert f"{disk} is being written: QEMU's lock" in message
        await assert_next_one_succeeds(api, place)


async def test_device_in_use_is_busy(place: Place, disk: Path, attach_loop: AttachLoop) -> None:
    device = attach_loop(disk)
    async with resumed(place) as api:
        await api.add_volume(device, name="loop")
        held = os.open(device, os.O_RDONLY | os.O_EXCL)
        try:
            code, message = await failure(api, await api.start_backup("loop"))
        finally:
            os.close(held)
        assert code == "source.busy"
        assert f"{device} cannot be opened: it is mounted or otherwise in use" in message
        backup = await api.back_up("loop")
        assert (await api.restore(backup, place.restores / "disk")).read_bytes() == CONTENT


def test_volume_that_may_not_be_read_is_named(disk: Path) -> None:
    disk.chmod(0)
    command = [sys.executable, "-c", OPEN_AND_TELL, str(disk)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told == f"{disk} cannot be opened: permission denied"
