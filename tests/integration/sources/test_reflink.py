"""Image files on real file systems that clone: what else happens to them and their clones."""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chunker.errors import InvalidAddress, SourceBusy, SourceMisconfigured, SourceUnreadable
from chunker.extents import Extent
from chunker.sources.base import ParentPoint, Source
from chunker.sources.freezing import frozen
from chunker.sources.open import Sources
from chunker.sources.reflink.clones import DIRECTORY
from chunker.sources.reflink.maps import Mapped, MapsMoved, differences, mapped
from chunker.sources.reflink.source import ReflinkSource
from chunker.testing import assert_covers, opened, read
from tests.support.api import CHUNK_SIZE_BYTES
from tests.support.cloning_file_systems import MountCloning, mount_image, unmount
from tests.support.daemon import ROOT, Place, read_for_changes, serving
from tests.support.loop_device import not_run
from tests.support.volumes import punch_hole, random_bytes

FICLONE = 0x40049409
CONTENT = random_bytes(64 * CHUNK_SIZE_BYTES)
WHOLE = Extent(0, len(CONTENT))


@pytest.fixture(scope="module", params=["xfs", "btrfs"])
def file_system(request: pytest.FixtureRequest, tmp_path_factory: Any, mount_cloning: MountCloning) -> Path:
    return mount_cloning(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def image(file_system: Path, tmp_path: Path) -> Path:
    directory = file_system / tmp_path.name
    directory.mkdir()
    path = directory / "image"
    path.write_bytes(CONTENT)
    return path


def write(path: Path, offset_bytes: int, content: bytes) -> None:
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), content, offset_bytes)


def clones(image: Path) -> list[Path]:
    return [path for path in (image.parent / DIRECTORY).iterdir() if path.name != "id"]


def committed(source: Source) -> ParentPoint:
    with opened(source) as point:
        point.commit()
        return ParentPoint(point.token, point.identity, point.size_bytes)


class TestClones:
    def test_changes_are_told_to_the_block(self, image: Path) -> None:
        parent = committed(ReflinkSource(image))
        write(image, 5 * 4096 + 7, b"changed")
        punch_hole(image, Extent(100 * 4096, 3 * 4096))
        with opened(ReflinkSource(image)) as point:
            assert point.changed_since(parent).extents == (Extent(5 * 4096, 4096), Extent(100 * 4096, 3 * 4096))

    def test_blocks_that_were_reserved_and_not_written_are_zeros_as_before(self, image: Path) -> None:
        punch_hole(image, Extent(0, 1024 * 1024))
        parent = committed(ReflinkSource(image))
        subprocess.run(["fallocate", "--length=524288", str(image)], check=True)
        with opened(ReflinkSource(image)) as point:
            assert point.changed_since(parent).extents == ()

    def test_tokens_survive_another_mount(self, file_system: Path, image: Path) -> None:
        parent = committed(ReflinkSource(image))
        write(image, 5, b"changed")
        unmount(file_system)
        assert mount_image(file_system.with_name("file-system"), file_system) == ""
        with opened(ReflinkSource(image)) as point:
            assert_covers(point, parent, Extent(5, 7))
            assert point.changed_since(parent).extents == (Extent(0, 4096),)

    def test_a_commit_removes_what_crashes_left_behind(self, image: Path) -> None:
        for _ in range(3):
            with opened(ReflinkSource(image)):
                pass
        assert len(clones(image)) == 3
        committed(ReflinkSource(image))
        assert len(clones(image)) == 1

    def test_crashes_without_end_leave_a_bounded_number_behind(self, image: Path) -> None:
        for _ in range(20):
            with opened(ReflinkSource(image)):
                pass
        assert len(clones(image)) == 17

    def test_one_that_is_being_read_is_not_removed_by_another_backup_of_the_image(self, image: Path) -> None:
        with opened(ReflinkSource(image)) as point:
            committed(ReflinkSource(image))
            assert read(point, WHOLE) == CONTENT
            point.check()

    def test_those_of_another_image_are_left_alone(self, image: Path) -> None:
        other = image.with_name("other")
        shutil.copyfile(image, other)
        parent = committed(ReflinkSource(other))
        committed(ReflinkSource(image))
        with opened(ReflinkSource(other)) as point:
            assert point.changed_since(parent).extents == ()

    def test_one_that_somebody_wrote_to_is_no_parent(self, image: Path) -> None:
        parent = committed(ReflinkSource(image))
        write(clones(image)[0], 5, b"changed")
        with opened(ReflinkSource(image)) as point:
            assert "no longer has the clone of the parent" in str(point.changed_since(parent).reason)

    def test_a_point_that_failed_leaves_nothing(self, image: Path) -> None:
        with opened(ReflinkSource(image)) as point:
            point.rollback()
        assert clones(image) == []

    def test_a_link_in_the_place_of_the_directory_is_refused(self, image: Path, tmp_path: Path) -> None:
        (image.parent / DIRECTORY).symlink_to(tmp_path)
        with pytest.raises(SourceUnreadable, match=r"cannot be cloned: .* is a symbolic link"):
            ReflinkSource(image).open()
        assert list(tmp_path.iterdir()) == []

    def test_a_file_system_that_cannot_clone_is_told(self, tmp_path: Path) -> None:
        directory = Path("/dev/shm") / tmp_path.name  # tmpfs
        directory.mkdir()
        try:
            (directory / "image").write_bytes(CONTENT)
            with opened(ReflinkSource(directory / "image")) as point:
                changes = point.changed_since(ParentPoint(None, point.identity, len(CONTENT)))
                assert "was read as a plain file: its file system cannot clone files" in str(changes.reason)
        finally:
            shutil.rmtree(directory)


class TestMaps:
    """Two clones are compared while something happens to them."""

    @pytest.fixture
    def old(self, image: Path) -> Path:
        return cloned(image, image.with_name("old"))

    def test_who_else_shares_the_blocks_may_change(self, image: Path, old: Path) -> None:
        """XFS frees what a deleted clone had some time later, and tells extents apart by whether they are shared."""
        third = cloned(image, image.with_name("third"))
        offsets = range(0, len(CONTENT), 8192)
        for offset_bytes in offsets:
            write(image, offset_bytes, b"changed")
        told = compared(old, image, happens=lambda: shares_no_more(third), when=lambda walk: walk == 2)
        assert told == tuple(Extent(offset_bytes, 4096) for offset_bytes in offsets)

    def test_blocks_that_moved_are_looked_at_again(self, image: Path, old: Path) -> None:
        write(image, 5, b"changed")
        assert compared(old, image, happens=lambda: move(old), when=lambda walk: walk == 2) == (WHOLE,)

    def test_blocks_that_never_stay_cannot_be_compared(self, image: Path, old: Path) -> None:
        with pytest.raises(MapsMoved):
            compared(old, image, happens=lambda: move(old), when=lambda walk: walk % 3 == 2)


def compared(old: Path, new: Path, *, happens: Callable[[], None], when: Callable[[int], bool]) -> tuple[Extent, ...]:
    """Return where two files differ, while something ``happens`` before some of the walks over their maps."""
    walks = itertools.count()

    def walk(descriptor: int) -> Mapped:
        if when(next(walks)):
            happens()
        yield from mapped(descriptor)

    with old.open("rb") as one, new.open("rb") as other:
        return differences(
            one.fileno(), other.fileno(), old_size_bytes=len(CONTENT), size_bytes=len(CONTENT), walk=walk
        )


def cloned(path: Path, clone: Path) -> Path:
    with path.open("rb") as file, clone.open("r+b" if clone.exists() else "xb") as there:
        fcntl.ioctl(there, FICLONE, file.fileno())
    return clone


def shares_no_more(clone: Path) -> None:
    clone.write_bytes(b"")
    os.sync()


def move(path: Path) -> None:
    """Give a file other blocks with the same bytes, as a defragmentation does."""
    copy = path.with_name(f"{path.name}-{random.randbytes(8).hex()}")
    copy.write_bytes(path.read_bytes())
    cloned(copy, path)


class TestFreezing:
    @pytest.fixture
    def mounted(self, request: pytest.FixtureRequest, image: Path, tmp_path: Path) -> Iterator[Path]:
        """Return where the file system in the image is mounted."""
        os.truncate(image, 0)
        os.truncate(image, 32 * 1024**2)
        mkfs = shutil.which("mkfs.ext4", path="/usr/sbin:/sbin")
        if mkfs is None:
            not_run(request.config, "mkfs.ext4 is missing here")
        subprocess.run([mkfs, "-q", "-F", str(image)], check=True)
        place = tmp_path / "inner"
        place.mkdir()
        if problem := mount_image(image, place):
            not_run(request.config, f"ext4 cannot be mounted here: {problem}")
        yield place
        unmount(place)

    def test_what_was_written_is_in_the_clone(self, image: Path, mounted: Path) -> None:
        written = random_bytes(8192, seed=7)
        (mounted / "file").write_bytes(written)
        with opened(ReflinkSource(image, freeze=mounted)) as point:
            assert written in read(point, Extent(0, point.size_bytes))
        (mounted / "file").write_bytes(b"and it goes on")

    def test_the_file_system_of_the_image_itself_is_refused(self, image: Path) -> None:
        with pytest.raises(SourceUnreadable, match="the image itself is on that file system"):
            ReflinkSource(image, freeze=image.parent).open()
        assert clones(image) == []

    def test_what_cannot_be_frozen_is_named(self, tmp_path: Path) -> None:
        with (
            pytest.raises(SourceUnreadable, match="nothing cannot be frozen"),
            frozen(tmp_path / "nothing", timeout_s=5),
        ):
            pass

    def test_a_freeze_ends_when_its_time_is_up(self, mounted: Path) -> None:
        with pytest.raises(SourceBusy, match=r"was frozen for less than it took: 0.2 s were up"):  # noqa: SIM117 - the write must be inside
            with frozen(mounted, timeout_s=0.2):
                (mounted / "file").write_bytes(b"waits for the thaw")

    def test_a_freeze_ends_with_the_process_that_wanted_it(self, mounted: Path) -> None:
        code = (
            "import os, signal, sys; from pathlib import Path; from chunker.sources.freezing import frozen\n"
            "with frozen(Path(sys.argv[1]), timeout_s=50): os.kill(os.getpid(), signal.SIGKILL)"
        )
        died = subprocess.run([sys.executable, "-c", code, str(mounted)], cwd=ROOT, check=False)
        assert died.returncode == -signal.SIGKILL
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit((mounted / "file").write_bytes, b"goes on").result(timeout=20)

    def test_only_what_the_operator_allows_is_frozen(self, image: Path, mounted: Path) -> None:
        sources = Sources({"reflink": {"directories": [str(image.parent)], "freezable": ["/srv/data"]}})
        sources.check(f"reflink://{image}?freeze=/srv/data")
        with pytest.raises(InvalidAddress, match=r"option freeze: .*, expected /srv/data"):
            sources.check(f"reflink://{image}?freeze={mounted}")


class TestConfiguration:
    def test_an_image_elsewhere_is_refused_also_behind_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "allowed").mkdir()
        (tmp_path / "image").write_bytes(CONTENT)
        (tmp_path / "allowed" / "link").symlink_to(tmp_path / "image")
        sources = Sources({"reflink": {"directories": [str(tmp_path / "allowed")]}})
        for path in ("image", "allowed/link", "allowed/../image"):
            with pytest.raises(InvalidAddress, match="expected a file below"):
                sources.check(f"reflink://{tmp_path}/{path}")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "option directories: missing"),
            ({"directories": ["images"]}, "option directories: 'images', expected absolute paths"),
            ({"directories": [], "freeze_timeout_s": 0}, "option freeze_timeout_s: 0.0, expected 0.1 to 60"),
        ],
    )
    def test_an_option_that_is_wrong_is_named(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(SourceMisconfigured, match=message):
            Sources({"reflink": options})


async def test_p1_exact_increments_of_an_image_that_is_written_meanwhile(image: Path, tmp_path: Path) -> None:
    more = f'[sources.reflink]\ndirectories = ["{image.parent}"]\n'
    async with serving(Place(tmp_path, more=more)) as daemon:
        await daemon.post(
            "/v1/backup-types", {"name": "standard", "target": "local", "chunk_size_bytes": CHUNK_SIZE_BYTES}
        )
        volume = {"name": "disk", "source": f"reflink://{image}", "backup_type": "standard"}
        await daemon.post("/v1/volumes", volume)
        full = await daemon.back_up("disk")
        write(image, 3 * CHUNK_SIZE_BYTES, b"changed")
        punch_hole(image, Extent(10 * CHUNK_SIZE_BYTES, CHUNK_SIZE_BYTES))
        changed = image.read_bytes()
        increment = await daemon.back_up("disk", mode="incremental")
        assert increment["full_read_reason"] is None
        assert read_for_changes(increment) == CHUNK_SIZE_BYTES
        for backup, content in ((full, CONTENT), (increment, changed)):
            restored = await daemon.restore(backup, daemon.place.restores / backup["id"])
            assert restored.read_bytes() == content
    assert len(clones(image)) == 1
