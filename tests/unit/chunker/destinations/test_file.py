from __future__ import annotations

import resource
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chunker.destinations.file import FileDestination, was_finished
from chunker.errors import (
    DestinationError,
    DestinationExists,
    DestinationMissing,
    DestinationTooSmall,
)
from chunker.extents import Extent
from tests.support.buffers import aligned
from tests.support.volumes import random_bytes

SIZE_BYTES = 300_000
CONTENT = random_bytes(SIZE_BYTES)

Make = Callable[..., FileDestination]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "restored"


@pytest.fixture
def make(path: Path) -> Iterator[Make]:
    made: list[FileDestination] = []

    def make(*, size_bytes: int = SIZE_BYTES, restore_id: str = "1", **options: bool) -> FileDestination:
        made.append(FileDestination(path, size_bytes, restore_id=restore_id, **options))
        return made[-1]

    yield make
    for destination in made:
        destination.abort()


def partials(path: Path) -> list[Path]:
    return list(path.parent.glob(".*.partial"))


@pytest.mark.parametrize("direct", [False, True])
def test_written_bytes_are_in_the_file(make: Make, path: Path, direct: bool) -> None:
    destination = make(direct=direct)
    for start in range(0, SIZE_BYTES, 65_536):
        destination.write(start, aligned(CONTENT[start : start + 65_536]))
    destination.finish()
    assert path.read_bytes() == CONTENT


def test_read_only_and_unaligned_buffers_are_written_too(make: Make, path: Path) -> None:
    destination = make()
    destination.write(0, memoryview(CONTENT)[:1001])
    destination.write(1001, memoryview(bytearray(CONTENT))[1001:])
    destination.finish()
    assert path.read_bytes() == CONTENT


def test_what_was_not_written_is_a_hole(make: Make, path: Path) -> None:
    make(size_bytes=2**40).finish()
    assert path.stat().st_size == 2**40
    assert path.stat().st_blocks == 0


@pytest.mark.parametrize("extent", [Extent(5000, 100_000), Extent(10, 20), Extent(4096, 8192), Extent(0, 0)])
def test_zeroed_bytes_are_zeros_and_the_others_stay(make: Make, path: Path, extent: Extent) -> None:
    destination = make()
    destination.write(0, memoryview(CONTENT))
    destination.zero(extent)
    destination.finish()
    zeros = bytes(extent.length_bytes)
    assert path.read_bytes() == CONTENT[: extent.offset_bytes] + zeros + CONTENT[extent.end_bytes :]


def test_file_has_no_name_before_it_is_finished(make: Make, path: Path) -> None:
    destination = make()
    assert not path.exists()
    assert len(partials(path)) == 1
    destination.finish()
    assert path.exists()
    assert partials(path) == []


def test_only_the_owner_may_read_it(make: Make, path: Path) -> None:
    make().finish()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_abort_leaves_nothing(make: Make, path: Path) -> None:
    destination = make()
    destination.abort()
    destination.abort()
    assert list(path.parent.iterdir()) == []


def test_abort_after_finish_changes_nothing(make: Make, path: Path) -> None:
    destination = make()
    destination.finish()
    destination.finish()
    destination.abort()
    assert path.stat().st_size == SIZE_BYTES


def test_aborted_file_cannot_be_finished(make: Make) -> None:
    destination = make()
    destination.abort()
    with pytest.raises(DestinationError, match="was aborted before"):
        destination.finish()


def test_finished_file_cannot_be_written(make: Make) -> None:
    destination = make()
    destination.finish()
    with pytest.raises(DestinationError, match="was finished or aborted before"):
        destination.write(0, memoryview(b"late"))


def test_write_behind_the_end_is_refused(make: Make) -> None:
    with pytest.raises(DestinationError, match="has 300000 bytes: expected no write of 2 bytes at 299999"):
        make().write(299_999, memoryview(b"ab"))


def test_zeroing_behind_the_end_is_refused(make: Make) -> None:
    with pytest.raises(DestinationError, match="expected no write of 2 bytes at 299999"):
        make().zero(Extent(299_999, 2))


def test_file_that_is_there_is_refused_at_once(make: Make, path: Path) -> None:
    path.write_bytes(b"mine")
    with pytest.raises(DestinationExists, match="restored exists; expected a name that is free"):
        make()


def test_file_that_came_meanwhile_is_not_replaced(make: Make, path: Path) -> None:
    destination = make()
    path.write_bytes(b"mine")
    with pytest.raises(DestinationExists, match="cannot be given its name: file exists"):
        destination.finish()
    destination.abort()
    assert path.read_bytes() == b"mine"
    assert partials(path) == []


def test_link_that_leads_nowhere_takes_the_name_too(make: Make, path: Path) -> None:
    path.symlink_to("nowhere")
    with pytest.raises(DestinationExists, match="expected a name that is free"):
        make()


def test_restarted_restore_removes_what_it_left(make: Make, path: Path) -> None:
    make().write(0, memoryview(b"half of it"))
    make().finish()
    assert path.read_bytes() == bytes(SIZE_BYTES)
    assert partials(path) == []


def test_two_restores_do_not_disturb_each_other(make: Make, path: Path) -> None:
    make(restore_id="1")
    make(restore_id="2")
    assert len(partials(path)) == 2


def test_attempt_that_was_replaced_cannot_finish(make: Make, path: Path) -> None:
    first, second = make(), make()
    first.write(0, memoryview(b"late write"))
    with pytest.raises(DestinationError, match="another attempt has taken over"):
        first.finish()
    first.abort()
    second.finish()
    assert path.read_bytes() == bytes(SIZE_BYTES)


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(DestinationMissing, match="nowhere/restored cannot be created: no such file"):
        FileDestination(tmp_path / "nowhere" / "restored", 10, restore_id="1")


def test_size_that_no_file_can_have_is_refused(make: Make, path: Path) -> None:
    with pytest.raises(DestinationTooSmall, match="file too large"):
        make(size_bytes=2**62)
    assert partials(path) == []


def test_short_write_is_not_taken_for_a_whole_one(make: Make) -> None:
    destination = make()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))  # Cuts the first write short, fails the second.
    try:
        with pytest.raises(DestinationTooSmall, match="cannot be written at byte 0: file too large"):
            destination.write(0, memoryview(CONTENT))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)
    FileDestination(path, 10, restore_id="1").finish()
    assert path.exists()


def test_nothing_stays_open(make: Make) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    make().abort()
    make().finish()
    with pytest.raises(DestinationExists):
        make()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_finished_file_is_recognised_by_its_own_restore(make: Make, path: Path) -> None:
    make(restore_id="mine").finish()
    assert was_finished(path, restore_id="mine")
    assert not was_finished(path, restore_id="another")


def test_unfinished_file_is_not_taken_for_a_finished_one(make: Make, path: Path) -> None:
    make(restore_id="mine")
    assert not was_finished(path, restore_id="mine")


def test_file_of_anybody_else_is_not_taken_for_a_finished_one(path: Path) -> None:
    path.write_bytes(CONTENT)
    assert not was_finished(path, restore_id="mine")


def test_link_to_a_finished_file_is_not_taken_for_one(make: Make, path: Path) -> None:
    make(restore_id="mine").finish()
    link = path.with_name("link")
    link.symlink_to(path)
    assert not was_finished(link, restore_id="mine")


def test_name_that_a_killed_attempt_left_is_removed(make: Make, path: Path) -> None:
    destination = make(restore_id="mine")
    (partial,) = partials(path)
    destination.finish()
    partial.hardlink_to(path)
    assert was_finished(path, restore_id="mine")
    assert partials(path) == []
