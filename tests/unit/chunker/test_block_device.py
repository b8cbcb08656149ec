from __future__ import annotations

import os
from pathlib import Path

import pytest

from chunker import block_device
from tests.support.loop_device import AttachLoop


def test_size_of_a_device_is_its_own(tmp_path: Path, attach_loop: AttachLoop) -> None:
    (tmp_path / "image").write_bytes(bytes(123 * 512))
    with attach_loop(tmp_path / "image").open("rb") as device:
        assert block_device.size_bytes(device.fileno()) == 123 * 512


def test_size_of_anything_else_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open("rb") as file, pytest.raises(OSError, match="Inappropriate ioctl"):
        block_device.size_bytes(file.fileno())


def test_identity_of_an_unknown_device_is_its_number() -> None:
    assert block_device.identity(os.makedev(4000, 7)) == "block:4000:7"
