from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chunker.destinations.descriptor import OpenDescriptor
from chunker.errors import DestinationFull, DestinationUnwritable
from chunker.extents import Extent

FULL = Path("/dev/full")


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_full_medium_is_named(closing: ExitStack) -> None:
    full = OpenDescriptor(FULL, os.open(FULL, os.O_RDWR), size_bytes=100, direct=False)
    closing.callback(full.close)
    with pytest.raises(DestinationFull, match="/dev/full cannot be written at byte 10: no space left"):
        full.write(10, memoryview(b"ab"))


def test_full_medium_is_named_when_zeroing(closing: ExitStack) -> None:
    full = OpenDescriptor(FULL, os.open(FULL, os.O_RDWR), size_bytes=10_000, direct=False)
    closing.callback(full.close)
    with pytest.raises(DestinationFull, match="/dev/full cannot be zeroed at byte 10: no space left"):
        full.zero(Extent(10, 9000))


def test_medium_that_refuses_is_named(closing: ExitStack, tmp_path: Path) -> None:
    path = tmp_path / "read-only"
    path.write_bytes(bytes(100))
    read_only = OpenDescriptor(path, os.open(path, os.O_RDONLY), size_bytes=100, direct=False)
    closing.callback(read_only.close)
    with pytest.raises(DestinationUnwritable, match="read-only cannot be written at byte 0: bad file"):
        read_only.write(0, memoryview(b"ab"))
