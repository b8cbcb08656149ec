from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from chunker.destinations.in_place import open_device
from chunker.errors import (
    DestinationBusy,
    DestinationError,
    DestinationMissing,
    DestinationTooSmall,
    DestinationUnwritable,
)
from chunker.extents import Extent
from tests.support.buffers import aligned
from tests.support.loop_device import AttachLoop
from tests.support.volumes import random_bytes

DEVICE_BYTES = 1024 * 1024
OLD = random_bytes(DEVICE_BYTES, seed=1)
NEW = random_bytes(DEVICE_BYTES, seed=2)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(OLD)
    return path


@pytest.fixture
def device(image: Path, attach_loop: AttachLoop) -> Path:
    return attach_loop(image)


@pytest.fixture
def held(device: Path) -> Iterator[Path]:
    descriptor = os.open(device, os.O_RDONLY | os.O_EXCL)
    yield device
    os.close(descriptor)


@pytest.mark.parametrize("direct", [False, True])
def test_written_bytes_are_on_the_device_and_those_behind_stay(device: Path, direct: bool) -> None:
    size_bytes = DEVICE_BYTES - 70_001
    destination = open_device(device, size_bytes, direct=direct)
    for start in range(0, size_bytes, 65_536):
        destination.write(start, aligned(NEW[start : min(start + 65_536, size_bytes)]))
    destination.finish()
    destination.finish()
    assert device.read_bytes() == NEW[:size_bytes] + OLD[size_bytes:]


@pytest.mark.parametrize("extent", [Extent(0, DEVICE_BYTES), Extent(5000, 100_000), Extent(10, 20)])
def test_zeroed_bytes_are_zeros_and_the_others_stay(device: Path, extent: Extent) -> None:
    destination = open_device(device, DEVICE_BYTES)
    destination.zero(extent)
    destination.finish()
    zeros = bytes(extent.length_bytes)
    assert device.read_bytes() == OLD[: extent.offset_bytes] + zeros + OLD[extent.end_bytes :]


def test_device_that_is_too_small_is_refused(device: Path) -> None:
    with pytest.raises(DestinationTooSmall, match="has 1048576 bytes, expected at least 1048577"):
        open_device(device, DEVICE_BYTES + 1)


def test_device_in_use_is_refused(held: Path) -> None:
    with pytest.raises(DestinationBusy, match=f"{held} cannot be opened: device or resource busy"):
        open_device(held, DEVICE_BYTES)


def test_file_is_no_device(image: Path) -> None:
    with pytest.raises(DestinationMissing, match="image is not a block device"):
        open_device(image, DEVICE_BYTES)


def test_missing_device_is_named(tmp_path: Path) -> None:
    with pytest.raises(DestinationMissing, match="nothing cannot be opened: no such file"):
        open_device(tmp_path / "nothing", DEVICE_BYTES)


def test_device_is_free_after_abort_and_keeps_its_bytes(device: Path) -> None:
    destination = open_device(device, DEVICE_BYTES)
    destination.write(0, memoryview(NEW)[:4096])
    destination.abort()
    destination.abort()
    os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
    assert device.read_bytes() == NEW[:4096] + OLD[4096:]


def test_aborted_device_cannot_be_finished(device: Path) -> None:
    destination = open_device(device, DEVICE_BYTES)
    destination.abort()
    with pytest.raises(DestinationError, match="was aborted before"):
        destination.finish()


def test_read_only_device_is_refused(image: Path, attach_loop: AttachLoop) -> None:
    device = attach_loop(image, is_read_only=True)
    with pytest.raises(DestinationUnwritable, match=f"{device} is read-only"):
        open_device(device, DEVICE_BYTES)
