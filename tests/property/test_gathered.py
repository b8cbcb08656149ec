"""Any number of extents in bounded memory: nothing that was told is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chunker.extents import Extent, merge, subtract
from chunker.sources.gathered import gather


@given(st.lists(st.integers(0, 10**9), max_size=200), st.integers(1, 10))
def test_p11_bounded_what_is_gathered_covers_all_that_was_told_in_few_extents(starts: list[int], most: int) -> None:
    told = merge(Extent(start, 4096) for start in starts)
    found = gather(told, count_max=most)
    assert subtract(told, found) == ()
    assert len(found) <= most + 20  # Gaps that are joined grow by doubling, up to the distance of the farthest.
    assert found == merge(found)
