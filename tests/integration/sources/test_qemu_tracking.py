"""What dirty bitmaps tell, and when they are not believed: each reason is told apart, and none loses a change."""

from __future__ import annotations

import random
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from chunker.errors import SourceChanged, SourceMissing, SourceUnreadable
from chunker.extents import Extent, subtract
from chunker.sources.base import ParentPoint, PointInTime
from chunker.sources.qemu.disk import Wanted
from chunker.sources.qemu.qmp import Qmp
from chunker.sources.qemu.source import open_group
from chunker.testing import opened, read
from tests.support.qemu import make_qemu_source, make_site
from tests.support.servers.storage_daemon import DISK, Guest, MakeStorageDaemon, StorageDaemon

MIB = 1024 * 1024
SIZE_BYTES = 4 * MIB
BLOCK_BYTES = 64 * 1024


@pytest.fixture
def daemon(make_storage_daemon: MakeStorageDaemon) -> StorageDaemon:
    return make_storage_daemon(SIZE_BYTES)


def taken(daemon: StorageDaemon, *, is_committed: bool = True, **options: Any) -> ParentPoint:
    """Take a point as a backup does that was published."""
    with opened(make_qemu_source(daemon, **options)) as point:
        if is_committed:
            point.commit()
        return ParentPoint(point.token, point.identity, point.size_bytes)


def reason(daemon: StorageDaemon, parent: ParentPoint) -> str | None:
    """Return why the changes since ``parent`` are not known now; None when they are."""
    with opened(make_qemu_source(daemon)) as point:
        return point.changed_since(parent).reason


def write(daemon: StorageDaemon, offset_bytes: int, content: bytes, disk: str = DISK) -> None:
    with closing(daemon.guest(disk)) as guest:
        guest.write(offset_bytes, content)


def test_the_bitmaps_of_an_image_go_on_after_a_restart_in_good_order(daemon: StorageDaemon) -> None:
    parent = taken(daemon)
    write(daemon, 0, b"before")
    daemon.stop()
    daemon.start()
    write(daemon, MIB, b"after")
    with opened(make_qemu_source(daemon)) as point:
        changes = point.changed_since(parent)
        assert changes.extents == (Extent(0, BLOCK_BYTES), Extent(MIB, BLOCK_BYTES))


def test_bitmaps_of_a_process_that_was_killed_are_not_believed_once(daemon: StorageDaemon) -> None:
    parent = taken(daemon)
    daemon.stop()
    daemon.start()
    write(daemon, 0, b"lost")
    daemon.kill()
    daemon.start()
    why = reason(daemon, parent)
    assert why is not None
    assert "is inconsistent: QEMU was killed, or its machine crashed" in why
    again = taken(daemon)
    assert reason(daemon, again) is None
    assert len(daemon.bitmaps()) == 2  # The last one, and that of the question; nothing inconsistent is left.


def test_a_bitmap_that_was_never_stored_is_told_apart(daemon: StorageDaemon) -> None:
    parent = taken(daemon)
    daemon.kill()
    daemon.start()
    why = reason(daemon, parent)
    assert why is not None
    assert "is not there: QEMU was killed before it was stored" in why


def test_a_raw_image_is_tracked_until_its_process_ends(make_storage_daemon: MakeStorageDaemon) -> None:
    daemon = make_storage_daemon(SIZE_BYTES, image_format="raw")
    parent = taken(daemon)
    assert reason(daemon, parent) is None
    daemon.stop()
    daemon.start()
    why = reason(daemon, parent)
    assert why is not None
    assert "the image is raw, and its bitmaps end with the QEMU process" in why


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_bitmap_that_somebody_removed_is_missed(daemon: StorageDaemon, which: int) -> None:
    parent = taken(daemon)
    for _ in range(2):
        taken(daemon, is_committed=False)
    write(daemon, 0, b"changed")
    with daemon.qmp() as qmp:
        qmp.run("block-dirty-bitmap-remove", node=DISK, name=bitmaps_of(qmp)[which])
    why = [reason(daemon, parent) for _ in range(2)]  # It stays missed when the backup fails that missed it first.
    assert all(why), why


def bitmaps_of(qmp: Qmp) -> list[str]:
    nodes = qmp.run("query-named-block-nodes", flat=True)
    (disk,) = (node for node in nodes if node["node-name"] == DISK)
    return sorted(bitmap["name"] for bitmap in disk["dirty-bitmaps"])


def test_a_bitmap_of_another_granularity_is_another_one(daemon: StorageDaemon) -> None:
    parent = taken(daemon)
    with daemon.qmp() as qmp:
        (name,) = bitmaps_of(qmp)
        qmp.run("block-dirty-bitmap-remove", node=DISK, name=name)
        qmp.run("block-dirty-bitmap-add", node=DISK, name=name, granularity=4096, persistent=True)
    why = reason(daemon, parent)
    assert why is not None
    assert "has granularity 4096, it had 65536" in why


def test_a_bitmap_that_was_disabled_is_not_believed(daemon: StorageDaemon) -> None:
    parent = taken(daemon)
    with daemon.qmp() as qmp:
        qmp.run("block-dirty-bitmap-disable", node=DISK, name=bitmaps_of(qmp)[0])
    write(daemon, 0, b"unseen")
    why = reason(daemon, parent)
    assert why is not None
    assert "does not record" in why


def test_a_job_that_somebody_ended_fails_the_check(daemon: StorageDaemon) -> None:
    with opened(make_qemu_source(daemon)) as point:
        point.check()
        with daemon.qmp() as qmp:
            (job,) = qmp.run("query-jobs")
            qmp.run("job-cancel", id=job["id"])
            qmp.wait("JOB_STATUS_CHANGE", lambda data: data["status"] == "null")
        with pytest.raises(SourceChanged, match="may be of a later time"):
            point.check()


def test_a_process_that_was_restarted_meanwhile_fails_the_reads_and_the_check(daemon: StorageDaemon) -> None:
    with opened(make_qemu_source(daemon)) as point:
        daemon.kill()
        daemon.start()
        with pytest.raises(SourceUnreadable):
            read(point, Extent(0, 4096))
        with pytest.raises(SourceChanged):
            point.check()
    assert daemon.traces() == []


def test_what_a_dead_client_left_is_taken_down_by_the_next_one(daemon: StorageDaemon) -> None:
    make_qemu_source(daemon).open()  # Its process is killed: nothing is closed.
    assert daemon.traces() != []
    with opened(make_qemu_source(daemon)) as point:
        read(point, Extent(0, 4096))
    assert daemon.traces() == []


def test_nobody_else_may_read_what_a_guest_overwrites(daemon: StorageDaemon) -> None:
    with opened(make_qemu_source(daemon)):
        (path,) = daemon.fleecing.glob("fleece-*")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_attempts_at_one_disk_do_not_meet(daemon: StorageDaemon) -> None:
    source = make_qemu_source(daemon)
    with opened(source), pytest.raises(Exception, match="is being backed up by another job"), opened(source):
        pass


def test_space_that_cannot_be_reserved_fails_the_backup_and_no_guest(
    daemon: StorageDaemon, mount_small: Callable[..., None]
) -> None:
    mount_small(daemon.fleecing)
    with pytest.raises(SourceUnreadable, match="bytes cannot be reserved"):
        make_qemu_source(daemon).open()
    write(daemon, 0, bytes([7]) * SIZE_BYTES)
    assert daemon.traces() == []


def test_a_disk_that_is_not_there_is_named_with_those_that_are(daemon: StorageDaemon) -> None:
    with pytest.raises(SourceMissing, match="there is no node disk9; QEMU has disk0"):
        make_qemu_source(daemon, "disk9").open()


def test_growth_is_no_change_that_is_lost(daemon: StorageDaemon) -> None:
    parent = taken(daemon)
    daemon.resize(SIZE_BYTES + MIB)
    write(daemon, SIZE_BYTES + 5 * BLOCK_BYTES, b"new")
    with opened(make_qemu_source(daemon)) as point:
        assert point.size_bytes == SIZE_BYTES + MIB
        changes = point.changed_since(parent)
        assert changes.extents is not None
        assert subtract([Extent(SIZE_BYTES + 5 * BLOCK_BYTES, 3)], changes.extents) == ()


def test_several_disks_are_frozen_at_one_instant(make_storage_daemon: MakeStorageDaemon) -> None:
    """A guest writes a number to one disk, then to the other; no point may have the second without the first."""
    daemon = make_storage_daemon(SIZE_BYTES, disks=("disk0", "disk1"))
    stop = threading.Event()

    def count() -> None:
        with closing(daemon.guest("disk0")) as first, closing(daemon.guest("disk1")) as second:
            number = 0
            while not stop.is_set():
                number += 1
                first.write(0, number.to_bytes(8, "big"))
                second.write(0, number.to_bytes(8, "big"))

    site = make_site(daemon)
    with ThreadPoolExecutor(1) as thread:
        counting = thread.submit(count)
        try:
            for _ in range(5):
                points = open_group(site, [Wanted(node="disk0"), Wanted(node="disk1")])
                first, second = (int.from_bytes(read(point, Extent(0, 8)), "big") for point in points)
                for point in points:
                    point.close()
                assert first - second in (0, 1)
        finally:
            stop.set()
        counting.result()


class Writer:
    """A guest that writes blocks, each with its number, one after the other; it knows what it asked for and had."""

    def __init__(self, guest: Guest, first: int, count: int, seed: int) -> None:
        self._guest = guest
        self._first, self._count = first, count
        self._chance = random.Random(seed)
        self.history: list[tuple[int, int, str]] = []
        self.done = 0

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            number = len(self.history) + 1
            block = self._first + self._chance.randrange(self._count)
            how = self._chance.choice(["write"] * 6 + ["zero", "discard"])
            self.history.append((number, block, how))
            extent = Extent(block * BLOCK_BYTES, BLOCK_BYTES)
            if how == "write":
                self._guest.write(extent.offset_bytes, tagged(number))
            elif how == "zero":
                self._guest.write_zeroes(extent)
            else:
                self._guest.discard(extent)
            self.done = number

    def could_be(self, content: bytes, *, at_least: int, at_most: int) -> bool:
        """Tell whether the blocks are as they were after one of the writes from ``at_least`` to ``at_most``."""
        area = content[self._first * BLOCK_BYTES : (self._first + self._count) * BLOCK_BYTES]
        found = [area[start : start + BLOCK_BYTES] for start in range(0, len(area), BLOCK_BYTES)]
        allowed = [{bytes(BLOCK_BYTES)} for _ in range(self._count)]
        for number in range(at_most + 1):
            if number:
                _, block, how = self.history[number - 1]
                # What is discarded may stay as it was: QEMU passes no discards on while a job holds the disk.
                kept = allowed[block - self._first] if how == "discard" else set()
                written = tagged(number) if how == "write" else bytes(BLOCK_BYTES)
                allowed[block - self._first] = kept | {written}
            if number >= at_least and all(one in some for one, some in zip(found, allowed, strict=True)):
                return True
        return False


def tagged(number: int) -> bytes:
    return number.to_bytes(8, "big") * (BLOCK_BYTES // 8)


@pytest.mark.parametrize("seed", range(4))
def test_p1_exact_increments_of_a_disk_that_two_guests_write_to(daemon: StorageDaemon, seed: int) -> None:
    """Each point is each guest's history cut at one write; the parent and what changed give the same bytes."""
    chance, stop = random.Random(seed), threading.Event()
    half = SIZE_BYTES // BLOCK_BYTES // 2
    with closing(daemon.guest()) as one, closing(daemon.guest()) as other, ThreadPoolExecutor(2) as threads:
        writers = [Writer(one, 0, half, seed), Writer(other, half, half, seed + 100)]
        running = [threads.submit(writer.run, stop) for writer in writers]
        image, parent = bytearray(SIZE_BYTES), None
        try:
            for _ in range(5):
                before = [writer.done for writer in writers]
                with opened(make_qemu_source(daemon)) as point:
                    after = [len(writer.history) for writer in writers]
                    _apply(point, parent, image)
                    assert read(point, Extent(0, SIZE_BYTES)) == image
                    point.check()
                    for writer, least, most in zip(writers, before, after, strict=True):
                        assert writer.could_be(bytes(image), at_least=least, at_most=most)
                    if chance.random() < 0.6:  # Else the backup fails, and the next one has the same parent.
                        point.commit()
                        parent = ParentPoint(point.token, point.identity, point.size_bytes)
        finally:
            stop.set()
        for future in running:
            future.result()


def _apply(point: PointInTime, parent: ParentPoint | None, image: bytearray) -> None:
    changed: Iterator[Extent] | tuple[Extent, ...] | None = (Extent(0, SIZE_BYTES),)
    if parent is not None:
        changes = point.changed_since(parent)
        assert changes.extents is not None, changes.reason
        changed = changes.extents
    else:
        image[:] = bytes(SIZE_BYTES)
        changed = point.data_extents(Extent(0, SIZE_BYTES))
    for extent in changed:
        image[extent.offset_bytes : extent.end_bytes] = read(point, extent)
