from __future__ import annotations

import array
from collections.abc import AsyncIterator

import pytest

from targets.base import closing, flat_view, range_end
from targets.errors import ShortRead


def test_flat_view_counts_in_bytes() -> None:
    assert len(flat_view(memoryview(array.array("Q", [1, 2, 3])))) == 24


def test_flat_view_of_nothing_is_empty() -> None:
    assert len(flat_view(memoryview(b"").cast("I"))) == 0


def test_short_read_tells_what_was_asked_and_what_is_there() -> None:
    with pytest.raises(ShortRead, match=r"^packs/1: expected bytes up to 12, the object has 10$"):
        range_end("packs/1", 10, offset=4, length=8)


async def test_left_listing_is_closed() -> None:
    closed = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append("closed")

    async with closing(numbers()) as found:
        assert await anext(found) == 1
    assert closed == ["closed"]
