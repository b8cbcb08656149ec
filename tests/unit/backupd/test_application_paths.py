from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from backupd.application.paths import check_destination, check_source
from backupd.errors import InvalidRequest
from tests.support.loop_device import AttachLoop


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(1024 * 1024))
    return path


def source_problem(path: str | Path, *allowed: Path) -> str:
    with pytest.raises(InvalidRequest) as caught:
        check_source(str(path), allowed=allowed)
    return str(caught.value)


def destination_problem(path: str | Path, *allowed: Path, overwrite: bool = False) -> str:
    with pytest.raises(InvalidRequest) as caught:
        check_destination(str(path), overwrite=overwrite, allowed=allowed)
    return str(caught.value)


def test_a_file_below_an_allowed_directory_is_a_source(image: Path) -> None:
    check_source(str(image), allowed=(Path("/nowhere"), image.parent))


def test_a_path_that_is_itself_allowed_is_a_source(image: Path) -> None:
    check_source(str(image), allowed=(image,))


def test_a_block_device_is_a_source(image: Path, attach_loop: AttachLoop) -> None:
    check_source(str(attach_loop(image)), allowed=(Path("/dev"),))


def test_a_source_elsewhere_is_refused(image: Path) -> None:
    problem = source_problem(image, Path("/srv/a"), Path("/srv/b"))
    assert problem == (
        f'path = "{image}": expected a path below one of /srv/a, /srv/b (paths.sources of the configuration)'
    )


def test_a_neighbour_with_the_same_beginning_is_refused(image: Path) -> None:
    allowed = image.parent / "disk"
    assert "expected a path below one of" in source_problem(image, allowed)


def test_nothing_is_a_source_when_the_list_is_empty(image: Path) -> None:
    assert "which is empty (paths.sources of the configuration)" in source_problem(image)


def test_a_link_that_leads_elsewhere_is_refused(image: Path, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    link = allowed / "link"
    link.symlink_to(image)
    assert source_problem(link, allowed).endswith(f"; it leads to {image}")


def test_a_link_that_stays_inside_is_a_source(image: Path) -> None:
    link = image.parent / "link"
    link.symlink_to(image)
    check_source(str(link), allowed=(image.parent,))


@pytest.mark.parametrize("path", ["disk.img", "", "/srv/../etc/shadow", "/srv/\0"])
def test_a_path_that_is_not_absolute_and_plain_is_refused(path: str) -> None:
    assert source_problem(path, Path("/")).endswith('expected an absolute path without ".."')


def test_a_source_that_is_absent_is_refused(tmp_path: Path) -> None:
    problem = source_problem(tmp_path / "none", tmp_path)
    assert problem.endswith("expected a file or block device that exists")


def test_a_directory_a_pipe_and_a_character_device_are_no_sources(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        assert source_problem(path, Path("/")).endswith("expected a regular file or a block device")


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert re.search(r"expected a path that can be .*\(", source_problem(tmp_path / "a", tmp_path))


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    assert "(file name too long)" in source_problem(tmp_path / ("a" * 300), tmp_path)


def test_a_new_file_is_a_destination(tmp_path: Path) -> None:
    check_destination(str(tmp_path / "new.img"), overwrite=False, allowed=(tmp_path,))


def test_a_destination_elsewhere_is_refused(tmp_path: Path) -> None:
    problem = destination_problem(tmp_path / "new.img", Path("/srv/restores"))
    assert problem.endswith("below one of /srv/restores (paths.restores of the configuration)")


def test_a_new_file_behind_a_link_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "link").symlink_to(tmp_path)
    problem = destination_problem(allowed / "link" / "new.img", allowed)
    assert problem.endswith(f"; it leads to {tmp_path / 'new.img'}")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_restore_never_overwrites_a_file(image: Path, overwrite: bool) -> None:
    problem = destination_problem(image, image.parent, overwrite=overwrite)
    assert problem.endswith("a restore never overwrites a regular file")


def test_a_destination_in_an_absent_directory_is_refused(tmp_path: Path) -> None:
    problem = destination_problem(tmp_path / "none" / "new.img", tmp_path)
    assert problem.endswith(f"in a directory that exists; there is no {tmp_path / 'none'}")


def test_a_directory_is_no_destination(tmp_path: Path) -> None:
    problem = destination_problem(tmp_path, tmp_path)
    assert problem.endswith("expected a file that does not exist yet or a block device")
    assert destination_problem(f"{tmp_path}/new/", tmp_path).endswith("expected a file name, not a directory")


def test_a_block_device_is_a_destination_only_when_it_may_be_overwritten(image: Path, attach_loop: AttachLoop) -> None:
    device = attach_loop(image)
    problem = destination_problem(device, Path("/dev"))
    assert problem == (
        f"overwrite = false: expected true, because a restore destroys what is on the block device {device}"
    )
    check_destination(str(device), overwrite=True, allowed=(Path("/dev"),))


def test_reasons_are_words(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert destination_problem(tmp_path / "loop" / "x", tmp_path).endswith("(a loop of links)")
    assert destination_problem(tmp_path / "\ud800", tmp_path).endswith("(it is no text that can be a file name)")
