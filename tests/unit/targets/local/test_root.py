from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from targets.base import Target
from targets.errors import (
    InvalidKey,
    Misconfigured,
    ObjectNotFound,
    PermissionDenied,
    TargetGone,
    TargetReadOnly,
    Unavailable,
)
from targets.local import LocalOptions, LocalTarget
from targets.testing import keys
from tests.support.local_files import FailingFiles


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
async def target(root: Path) -> AsyncIterator[LocalTarget]:
    target = LocalTarget(root, LocalOptions(create=True))
    await target.put("folder/key", b"content")
    yield target
    await target.aclose()


def remove(root: Path) -> None:
    (root / "folder/key").unlink()
    (root / "folder").rmdir()
    (root / ".tmp").rmdir()
    root.rmdir()


def move_away(root: Path) -> None:
    root.rename(root.with_name("elsewhere"))


def replace_by_another(root: Path) -> None:
    """As an unmounted file system leaves its mount point, or the wrong one is mounted."""
    move_away(root)
    (root / ".tmp").mkdir(parents=True)


def make_again(root: Path) -> None:
    remove(root)
    root.mkdir()  # Often with the same inode number.


def replace_by_a_file(root: Path) -> None:
    move_away(root)
    root.write_bytes(b"")


def remove_marker(root: Path) -> None:
    (root / ".tmp").rmdir()


def below(root: Path) -> list[Path]:
    return sorted(root.parent.rglob("*"))


LOSSES = [remove, move_away, replace_by_another, make_again, replace_by_a_file, remove_marker]
OPERATIONS: list[Callable[[Target], Any]] = [
    lambda target: target.put("folder/key", b"new"),
    lambda target: target.put("other/key", b"new", if_absent=True),
    lambda target: target.get("folder/key"),
    lambda target: target.get_into("folder/key", bytearray(1)),
    lambda target: target.head("folder/key"),
    lambda target: target.delete("folder/key"),
    keys,
]


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("operation", OPERATIONS, ids=range(len(OPERATIONS)))
async def test_vanished_root_is_told_by_every_operation(
    target: LocalTarget, root: Path, lose: Callable[[Path], None], operation: Callable[[Target], Any]
) -> None:
    lose(root)
    with pytest.raises(TargetGone, match=f"root {root} vanished"):
        await operation(target)


@pytest.mark.parametrize("lose", LOSSES)
async def test_vanished_root_is_not_written_to(target: LocalTarget, root: Path, lose: Callable[[Path], None]) -> None:
    lose(root)
    before = below(root)
    with pytest.raises(TargetGone):
        await target.put("folder/key", b"new")
    assert below(root) == before


async def test_root_that_came_back_is_used_again(target: LocalTarget, root: Path) -> None:
    move_away(root)
    with pytest.raises(TargetGone):
        await target.get("folder/key")
    root.with_name("elsewhere").rename(root)
    assert await target.get("folder/key") == b"content"


def test_missing_root_is_made_only_when_asked(root: Path) -> None:
    with pytest.raises(Misconfigured, match=f"root {root}: expected a directory, or the option create"):
        LocalTarget(root)
    assert not root.exists()


async def test_root_is_made_with_its_parents(tmp_path: Path) -> None:
    await LocalTarget(tmp_path / "a/b/c", LocalOptions(create=True)).aclose()
    assert (tmp_path / "a/b/c").is_dir()


def test_root_that_is_a_file_is_refused(root: Path) -> None:
    root.write_bytes(b"")
    for create in (False, True):
        with pytest.raises(Misconfigured, match="expected a directory"):
            LocalTarget(root, LocalOptions(create=create))


async def test_root_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "link").symlink_to("root")
    linked = LocalTarget(tmp_path / "link")
    await linked.put("folder/key", b"content")
    assert (tmp_path / "root/folder/key").read_bytes() == b"content"
    await linked.aclose()


@pytest.mark.parametrize(("number", "kind"), [(errno.EROFS, TargetReadOnly), (errno.EACCES, PermissionDenied)])
async def test_root_that_cannot_be_written_to_can_be_read(tmp_path: Path, number: int, kind: type[Exception]) -> None:
    (tmp_path / "key").write_bytes(b"content")
    files = FailingFiles()
    files.fail("mkdir", number)
    target = LocalTarget(tmp_path, files=files)
    assert await target.get("key") == b"content"
    with pytest.raises(kind):
        await target.put("key", b"new")
    await target.aclose()


def test_broken_disk_at_the_start_is_no_misconfiguration(root: Path) -> None:
    root.mkdir()
    files = FailingFiles()
    files.fail("open", errno.EIO)
    with pytest.raises(Unavailable, match=f"root {root}: input/output error"):
        LocalTarget(root, files=files)


@pytest.mark.parametrize("key", ["link", "link/key", "folder/link", "folder/link/key"])
async def test_link_is_never_followed(target: LocalTarget, root: Path, tmp_path: Path, key: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/key").write_bytes(b"secret")
    link, outside = root / key.removesuffix("/key"), tmp_path / "outside"
    link.symlink_to(outside if key.endswith("/key") else outside / "key")
    with pytest.raises(Misconfigured, match="symbolic link"):
        await target.get(key)
    with pytest.raises(Misconfigured, match="symbolic link"):
        await keys(target)
    if key.endswith("/key"):
        with pytest.raises(Misconfigured, match="symbolic link"):
            await target.put(key, b"new")
    assert (outside / "key").read_bytes() == b"secret"


async def test_object_cannot_be_a_folder_of_another(target: LocalTarget) -> None:
    for key in ("folder", "folder/key/below"):
        for if_absent in (False, True):
            with pytest.raises(InvalidKey, match="no object may be a folder of another one"):
                await target.put(key, b"new", if_absent=if_absent)
    assert await target.get("folder/key") == b"content"


async def test_what_is_no_object_is_not_listed(target: LocalTarget, root: Path) -> None:
    (root / "lost+found").mkdir()
    (root / "lost+found/1").write_bytes(b"")
    (root / "README").write_bytes(b"")
    (root / ".tmp/unfinished").write_bytes(b"")
    assert await keys(target) == ["folder/key"]


async def test_pipe_is_no_object(target: LocalTarget, root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(ObjectNotFound):
        await target.get("pipe")
    assert await keys(target) == ["folder/key"]


async def test_folder_that_somebody_removed_is_made_again(target: LocalTarget, root: Path) -> None:
    await target.delete("folder/key")
    (root / "folder").rmdir()
    await target.put("folder/key", b"again")
    assert (root / "folder/key").read_bytes() == b"again"
