from __future__ import annotations

import pytest

from chunker.errors import SourceError
from chunker.extents import Extent
from chunker.sources.base import ParentPoint
from chunker.sources.extents import GivenExtents
from chunker.sources.memory import MemoryVolume
from chunker.testing import opened

PARENT = ParentPoint(None, "memory:volume", 1000)


def test_given_extents_are_the_changes() -> None:
    source = GivenExtents(MemoryVolume(1000), [Extent(500, 10), Extent(0, 5), Extent(505, 10)])
    with opened(source) as point:
        assert point.changed_since(PARENT).extents == (Extent(0, 5), Extent(500, 15))


def test_no_extents_mean_no_changes() -> None:
    with opened(GivenExtents(MemoryVolume(1000), [])) as point:
        assert point.changed_since(PARENT).extents == ()


def test_growth_is_a_change_though_nobody_gave_it() -> None:
    with opened(GivenExtents(MemoryVolume(1500), [Extent(0, 5)])) as point:
        assert point.changed_since(PARENT).extents == (Extent(0, 5), Extent(1000, 500))


def test_extents_of_another_volume_are_not_believed() -> None:
    with opened(GivenExtents(MemoryVolume(1000, identity="memory:b"), [Extent(0, 5)])) as point:
        changes = point.changed_since(PARENT)
    assert changes.extents is None
    assert changes.reason == "the parent is of memory:volume, this volume is memory:b"


def test_extent_behind_the_end_is_refused() -> None:
    with pytest.raises(SourceError, match="extent of 101 bytes at 900 ends behind the volume's 1000 bytes"):
        GivenExtents(MemoryVolume(1000), [Extent(900, 101)]).open()
