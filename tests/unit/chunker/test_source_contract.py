"""The suite for sources finds those that break the contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chunker.extents import Extent
from chunker.sources.base import Source
from chunker.sources.memory import MemoryPoint, MemoryVolume
from chunker.testing import TrackingContract


class Forgetful(MemoryVolume):
    """Loses all that changed whenever a backup fails."""

    def open(self) -> MemoryPoint:
        point = super().open()
        point.rollback = lambda: self.forget(Extent(0, self.size_bytes))  # type: ignore[method-assign] # on purpose
        return point


class Lying(MemoryVolume):
    """Never tells about the first page."""

    def write(self, offset_bytes: int, content: bytes) -> None:
        super().write(offset_bytes, content)
        self.forget(Extent(0, 1))


class Suite(TrackingContract):
    def __init__(self, make: Callable[[int], MemoryVolume]) -> None:
        self.make = make

    def make_source(self, content: bytes) -> Source:
        volume = self.make(len(content))
        volume.write(0, content)
        return volume

    def make_missing(self) -> Source:
        volume = self.make(0)
        volume.remove()
        return volume

    def swap(self, source: Source) -> None:
        assert isinstance(source, MemoryVolume)
        source.identity = "memory:another"

    def write(self, source: Source, offset_bytes: int, content: bytes) -> None:
        assert isinstance(source, MemoryVolume)
        source.write(offset_bytes, content)


def test_a_source_that_keeps_the_contract_passes() -> None:
    Suite(MemoryVolume).test_any_history_adds_up_to_the_volume()


@pytest.mark.parametrize("make", [Forgetful, Lying])
def test_a_source_that_loses_changes_is_found_by_a_history(make: Callable[[int], MemoryVolume]) -> None:
    with pytest.raises(AssertionError):
        Suite(make).test_any_history_adds_up_to_the_volume()


def test_what_a_failure_loses_is_found() -> None:
    with pytest.raises(AssertionError):
        Suite(Forgetful).test_rollback_loses_no_change()
