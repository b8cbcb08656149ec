from __future__ import annotations

import fcntl
import os
import re
import struct
from pathlib import Path

import pytest

from chunker.errors import SourceBusy, SourceChanged, SourceMissing, SourceTooShort, SourceUnreadable
from chunker.extents import Extent
from chunker.sources.base import ParentPoint
from chunker.sources.file import FileSource
from chunker.testing import opened, read
from tests.support.buffers import aligned
from tests.support.loop_device import AttachLoop
from tests.support.volumes import random_bytes, write_sparse_file

CONTENT = random_bytes(100_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def device(path: Path, attach_loop: AttachLoop) -> Path:
    os.truncate(path, 1024 * 1024)
    return attach_loop(path)


def lock(descriptor: int, kind: int, *, start: int, length: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="nothing cannot be opened: no such file or directory"):
        FileSource(tmp_path / "nothing").open()


def test_directory_is_no_volume(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="neither a regular file nor a block device"):
        FileSource(tmp_path).open()


def test_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceMissing, match="neither a regular file nor a block device"):
        FileSource(tmp_path / "pipe").open()


def test_symbolic_link_loop_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SourceUnreadable, match="cannot be opened: too many levels"):
        FileSource(tmp_path / "loop").open()


def test_empty_file_is_an_empty_volume(path: Path) -> None:
    os.truncate(path, 0)
    with opened(FileSource(path)) as point:
        assert point.size_bytes == 0
        assert list(point.data_extents(Extent(0, 10))) == []


def test_plain_file_cannot_tell_changes(path: Path) -> None:
    with opened(FileSource(path)) as point:
        changes = point.changed_since(ParentPoint(None, point.identity, point.size_bytes))
    assert changes.extents is None
    assert changes.reason == "a plain file has no changed-block tracking"


def test_holes_are_clipped_to_what_was_asked_for(path: Path) -> None:
    write_sparse_file(path, 1_000_000, [Extent(0, 65536), Extent(131072, 65536)])
    with opened(FileSource(path)) as point:
        assert list(point.data_extents(Extent(4096, 140_000))) == [
            Extent(4096, 61440),
            Extent(131072, 13024),
        ]


def test_whole_volume_may_be_one_hole(path: Path) -> None:
    write_sparse_file(path, 1_000_000, [])
    with opened(FileSource(path)) as point:
        assert list(point.data_extents(Extent(0, 1_000_000))) == []


def test_file_that_was_cut_is_too_short(path: Path) -> None:
    with opened(FileSource(path)) as point:
        os.truncate(path, 60_000)
        message = f"{re.escape(str(path))} at byte 59000: expected 2000 bytes, got 1000"
        with pytest.raises(SourceTooShort, match=message):
            read(point, Extent(59_000, 2000))


def test_closed_point_cannot_be_read(path: Path) -> None:
    with opened(FileSource(path)) as point:
        point.close()
        with pytest.raises(SourceUnreadable, match="cannot be read at byte 7"):
            read(point, Extent(7, 1))


def test_write_while_it_is_read_is_found(path: Path) -> None:
    with opened(FileSource(path)) as point, path.open("r+b") as file:
        file.write(b"!")
        file.flush()
        with pytest.raises(SourceChanged, match="changed while it was read"):
            point.check()


def test_write_to_a_live_volume_is_allowed(path: Path) -> None:
    with opened(FileSource(path, allow_live=True)) as point, path.open("r+b") as file:
        file.write(b"!")
        file.flush()
        point.check()


def test_resize_of_a_live_volume_is_found(path: Path) -> None:
    with opened(FileSource(path, allow_live=True)) as point:
        os.truncate(path, 200_000)
        with pytest.raises(SourceChanged, match="now has 200000 bytes, it had 100000"):
            point.check()


def test_other_file_under_the_same_name_is_found(path: Path) -> None:
    with opened(FileSource(path, allow_live=True)) as point:
        path.rename(path.with_name("moved"))
        path.write_bytes(CONTENT)
        with pytest.raises(SourceChanged, match="is now file:"):
            point.check()


def test_removed_file_is_missing(path: Path) -> None:
    with opened(FileSource(path)) as point:
        path.unlink()
        with pytest.raises(SourceMissing, match="cannot be checked"):
            point.check()


def test_image_of_a_running_guest_is_busy(path: Path) -> None:
    with path.open("r+b") as guest:
        lock(guest.fileno(), fcntl.F_RDLCK, start=101, length=1)  # As QEMU does.
        with pytest.raises(SourceBusy, match=r"QEMU's lock for writing.*\nHINT: "):
            FileSource(path).open()


def test_image_that_qemu_only_reads_is_not_busy(path: Path) -> None:
    with path.open("rb") as guest:
        lock(guest.fileno(), fcntl.F_RDLCK, start=100, length=1)
        with opened(FileSource(path)) as point:
            assert read(point, Extent(0, 100)) == CONTENT[:100]


def test_file_with_a_write_lock_is_busy(path: Path) -> None:
    with path.open("r+b") as writer:
        lock(writer.fileno(), fcntl.F_WRLCK, start=5000, length=10)
        with pytest.raises(SourceBusy, match="is being written: a write lock is held on it"):
            FileSource(path).open()


def test_locked_file_can_be_read_live(path: Path) -> None:
    with path.open("r+b") as writer:
        lock(writer.fileno(), fcntl.F_WRLCK, start=0, length=0)
        with opened(FileSource(path, allow_live=True)) as point:
            assert read(point, Extent(0, 100)) == CONTENT[:100]


@pytest.mark.parametrize("offset_bytes", [0, 4096, 1000, 98_304 - 65_536])
def test_direct_read_gets_the_same_bytes(path: Path, offset_bytes: int) -> None:
    buffer = aligned(bytes(65_536))
    with opened(FileSource(path, direct_io=True)) as point:
        point.read_into(offset_bytes, buffer)
    assert buffer == CONTENT[offset_bytes : offset_bytes + 65_536]


def test_unaligned_end_can_be_read_when_direct(path: Path) -> None:
    buffer = aligned(bytes(100_000 - 65_536))
    with opened(FileSource(path, direct_io=True)) as point:
        point.read_into(65_536, buffer)
    assert buffer == CONTENT[65_536:]


def test_device_has_its_own_size_and_identity(device: Path, path: Path) -> None:
    with opened(FileSource(device)) as point:
        assert point.size_bytes == 1024 * 1024
        assert point.identity.startswith("block:7:")
        assert point.identity.endswith(f":loop/backing_file={path}")


def test_device_in_use_is_busy(device: Path) -> None:
    holder = os.open(device, os.O_RDONLY | os.O_EXCL)  # As a mount does.
    try:
        with pytest.raises(SourceBusy, match=rf"{device} cannot be opened: it is mounted or.*\nHINT: "):
            FileSource(device).open()
    finally:
        os.close(holder)


def test_device_in_use_can_be_read_live(device: Path) -> None:
    holder = os.open(device, os.O_RDONLY | os.O_EXCL)
    try:
        with opened(FileSource(device, allow_live=True)) as point:
            assert read(point, Extent(0, 100)) == CONTENT[:100]
    finally:
        os.close(holder)


def test_device_is_free_again_after_close(device: Path) -> None:
    with opened(FileSource(device, direct_io=True)):
        pass
    os.close(os.open(device, os.O_RDONLY | os.O_EXCL))


@pytest.mark.parametrize("direct_io", [False, True])
def test_broken_sector_is_named(device: Path, path: Path, direct_io: bool) -> None:
    os.truncate(path, 512 * 1024)  # The device keeps its size, and reads behind the file's end now fail.
    broken = pytest.raises(SourceUnreadable, match="cannot be read at byte 786432: input/output error")
    with opened(FileSource(device, direct_io=direct_io)) as point, broken:
        point.read_into(768 * 1024, aligned(bytes(65_536)))


def test_a_device_without_a_medium_is_missing(tmp_path: Path, attach_loop: AttachLoop) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    device = attach_loop(empty)
    with pytest.raises(SourceMissing, match=f"{device} has no medium"):
        FileSource(device).open()


def test_a_device_is_not_called_a_file(device: Path) -> None:
    with opened(FileSource(device)) as point:
        changes = point.changed_since(ParentPoint(token=None, identity=point.identity, size_bytes=point.size_bytes))
    assert changes.reason == "a block device has no changed-block tracking"


def test_a_parent_of_another_file_is_named(path: Path) -> None:
    with opened(FileSource(path)) as point:
        changes = point.changed_since(ParentPoint(token=None, identity="file:1:2", size_bytes=point.size_bytes))
        assert changes.reason == f"{path} is now {point.identity}, the parent is of file:1:2"
