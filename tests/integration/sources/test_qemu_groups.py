"""Backups of several disks of one QEMU, of one instant, asked for by one request."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, Place, serving
from tests.support.qemu import SECTION
from tests.support.servers.storage_daemon import Guest, MakeStorageDaemon, StorageDaemon

SIZE_BYTES = 2 * 1024 * 1024
DISKS = ("disk0", "disk1")


@pytest.fixture
def storage(make_storage_daemon: MakeStorageDaemon) -> StorageDaemon:
    return make_storage_daemon(SIZE_BYTES, disks=DISKS)


@pytest.fixture
async def daemon(tmp_path: Path, storage: StorageDaemon) -> AsyncIterator[Daemon]:
    async with serving(Place(tmp_path, more=SECTION.format(root=storage.directory))) as daemon:
        for disk in DISKS:
            await daemon.add_source(f"qemu+qmp://{storage.monitor}?node={disk}&nbd={storage.live}", name=disk)
        yield daemon


def count(first: Guest, second: Guest, stop: threading.Event) -> None:
    """Write each number to one disk, and then to the other."""
    number = 0
    while not stop.is_set():
        number += 1
        first.write(0, number.to_bytes(8, "big"))
        second.write(0, number.to_bytes(8, "big"))


async def test_p1_exact_a_group_is_of_one_instant_full_and_tracked(daemon: Daemon, storage: StorageDaemon) -> None:
    stop = threading.Event()
    with closing(storage.guest("disk0")) as one, closing(storage.guest("disk1")) as other, ThreadPoolExecutor(1) as run:
        counting = run.submit(count, one, other, stop)
        try:
            for read_as in ("whole", "tracked", "tracked"):
                backups = await daemon.back_up_group(DISKS)
                assert [backup["read_as"] for backup in backups] == [read_as] * 2
                first, second = [await number_in(daemon, backup) for backup in backups]
                assert first - second in (0, 1)
        finally:
            stop.set()
        counting.result()
    assert [storage.traces(), len(storage.bitmaps("disk0")), len(storage.bitmaps("disk1"))] == [[], 1, 1]
    shown = await daemon.get(f"/v1/backups/{backups[0]['id']}")
    assert shown["taken_with"] == [backups[1]["id"]]


async def number_in(daemon: Daemon, backup: dict[str, Any]) -> int:
    restored = await daemon.restore(backup, daemon.place.restores / backup["id"])
    return int.from_bytes(restored.read_bytes()[:8], "big")


async def test_the_command_line_takes_a_group_when_it_is_given_several_volumes(daemon: Daemon) -> None:
    code, answer = daemon.backupctl("backup", "create", *DISKS, "--wait")
    assert code == 0, answer
    assert [backup["state"] for backup in answer["backups"]] == ["available"] * 2
    code, complaint = daemon.backupctl("backup", "create", *DISKS, "--parent", answer["backups"][0]["id"])
    assert (code, complaint) == (2, "backupctl: --parent and --changed-extents are for a backup of one volume\n")


async def test_what_cannot_be_frozen_at_one_instant_is_refused_and_nothing_is_begun(daemon: Daemon) -> None:
    (daemon.place.sources / "plain").write_bytes(b"x")
    await daemon.add_volume(daemon.place.sources / "plain")
    for volumes, expected in (
        ([*DISKS, "plain"], "expected volumes of one of qemu, which can be frozen at one instant; these are of file"),
        (["disk0", "disk0"], "expected each disk once"),
        (["disk0"], "expected 2 to 64 names or ids"),
        (["disk0", "nowhere"], 'there is no volume "nowhere"'),
    ):
        status, problem = await daemon.ask("/v1/backup-groups", {"volumes": volumes})
        assert status in (400, 404), problem
        assert expected in problem["detail"]
    assert await daemon.get("/v1/backups") == []


async def test_a_disk_that_fails_fails_the_group_and_leaves_nothing(daemon: Daemon, storage: StorageDaemon) -> None:
    where = f"qemu+qmp://{storage.monitor}?node=nowhere&nbd={storage.live}"
    await daemon.add_source(where, name="nowhere")
    started = await daemon.post("/v1/backup-groups", {"volumes": ["disk0", "nowhere"]})
    job = await daemon.ended(started["job"])
    assert (job["state"], job["failure"]["code"]) == ("failed", "source.missing")
    states = [(await daemon.get(f"/v1/backups/{one['id']}"))["state"] for one in started["backups"]]
    assert states == ["error", "error"]
    assert (storage.traces(), storage.bitmaps("disk0")) == ([], [])
    assert [one["read_as"] for one in await daemon.back_up_group(DISKS)] == ["whole"] * 2
