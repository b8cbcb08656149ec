from __future__ import annotations

import pytest

from chunker.extents import Extent, align, between, gaps, merge, subtract


@pytest.mark.parametrize(("offset_bytes", "length_bytes"), [(-1, 5), (5, -1)])
def test_negative_extent_is_refused(offset_bytes: int, length_bytes: int) -> None:
    with pytest.raises(ValueError, match="neither may be negative"):
        Extent(offset_bytes, length_bytes)


def test_extents_that_touch_become_one() -> None:
    assert merge([Extent(10, 5), Extent(0, 10)]) == (Extent(0, 15),)


def test_crossed_limits_are_an_empty_extent() -> None:
    assert between(10, 5) == Extent(10, 0)


def test_last_chunk_is_as_short_as_the_volume() -> None:
    assert align([Extent(65, 1)], chunk_size_bytes=64, size_bytes=100) == (Extent(64, 36),)


def test_empty_extent_touches_no_chunk() -> None:
    assert align([Extent(65, 0)], chunk_size_bytes=64, size_bytes=100) == ()


def test_nothing_covered_is_one_gap() -> None:
    assert gaps([], Extent(5, 10)) == (Extent(5, 10),)


def test_subtracting_from_nothing_is_nothing() -> None:
    assert subtract([], [Extent(0, 10)]) == ()
