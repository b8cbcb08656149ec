from __future__ import annotations

from pathlib import Path

import pytest

from chunker.destinations.file import FileDestination
from chunker.destinations.in_place import InPlace
from chunker.destinations.open import open_destination
from chunker.errors import DestinationError, DestinationExists
from tests.support.loop_device import AttachLoop

SIZE_BYTES = 65_536


@pytest.fixture
def device(tmp_path: Path, attach_loop: AttachLoop) -> Path:
    image = tmp_path / "image"
    image.write_bytes(bytes(SIZE_BYTES))
    return attach_loop(image)


def test_free_name_becomes_a_file(tmp_path: Path) -> None:
    destination = open_destination(tmp_path / "restored", SIZE_BYTES, restore_id="1")
    destination.finish()
    assert isinstance(destination, FileDestination)
    assert (tmp_path / "restored").stat().st_size == SIZE_BYTES


def test_device_is_not_overwritten_unasked(device: Path) -> None:
    with pytest.raises(DestinationExists, match=r"is a block device.*\nHINT: "):
        open_destination(device, SIZE_BYTES, restore_id="1")


def test_device_is_overwritten_when_that_is_allowed(device: Path) -> None:
    destination = open_destination(device, SIZE_BYTES, restore_id="1", overwrite=True)
    destination.finish()
    assert isinstance(destination, InPlace)


def test_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_bytes(b"mine")
    with pytest.raises(DestinationExists, match="mine exists; expected a name that is free"):
        open_destination(path, SIZE_BYTES, restore_id="1", overwrite=True)


def test_relative_path_is_refused() -> None:
    with pytest.raises(DestinationError, match="destination restored: expected an absolute path"):
        open_destination("restored", SIZE_BYTES, restore_id="1")
