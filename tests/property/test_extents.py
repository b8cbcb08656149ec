"""The extent algebra against a model that cannot be wrong: a set of byte offsets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chunker.extents import Extent, align, clip, gaps, intersect, merge, subtract

SPACE_BYTES = 64
EXTENTS = st.lists(
    st.builds(Extent, st.integers(0, SPACE_BYTES), st.integers(0, SPACE_BYTES // 2)),
    max_size=8,
)
ONE = st.builds(Extent, st.integers(0, SPACE_BYTES), st.integers(0, SPACE_BYTES))


def bytes_of(extents: list[Extent] | tuple[Extent, ...]) -> set[int]:
    return {at for extent in extents for at in range(extent.offset_bytes, extent.end_bytes)}


def is_merged(extents: tuple[Extent, ...]) -> bool:
    has_gaps = all(a.end_bytes < b.offset_bytes for a, b in pairwise(extents))
    return has_gaps and all(extent.length_bytes for extent in extents)


@given(EXTENTS)
def test_merge_keeps_every_byte_in_the_fewest_extents(extents: list[Extent]) -> None:
    merged = merge(extents)
    assert is_merged(merged)
    assert bytes_of(merged) == bytes_of(extents)


@given(EXTENTS, ONE)
def test_clip_keeps_what_is_within(extents: list[Extent], within: Extent) -> None:
    clipped = clip(extents, within)
    assert is_merged(clipped)
    assert bytes_of(clipped) == bytes_of(extents) & bytes_of([within])


@given(EXTENTS, EXTENTS)
def test_intersect_is_what_both_have(left: list[Extent], right: list[Extent]) -> None:
    common = intersect(left, right)
    assert is_merged(common)
    assert bytes_of(common) == bytes_of(left) & bytes_of(right)


@given(EXTENTS, EXTENTS)
def test_subtract_is_what_only_the_left_has(left: list[Extent], right: list[Extent]) -> None:
    rest = subtract(left, right)
    assert is_merged(rest)
    assert bytes_of(rest) == bytes_of(left) - bytes_of(right)


@given(EXTENTS, ONE)
def test_gaps_are_what_no_extent_covers(extents: list[Extent], within: Extent) -> None:
    free = gaps(extents, within)
    assert is_merged(free)
    assert bytes_of(free) == bytes_of([within]) - bytes_of(extents)


@given(EXTENTS, st.sampled_from([1, 2, 4, 8, 16]), st.integers(0, SPACE_BYTES))
def test_align_covers_each_touched_chunk_and_no_other(
    extents: list[Extent], chunk_size_bytes: int, size_bytes: int
) -> None:
    aligned = align(extents, chunk_size_bytes=chunk_size_bytes, size_bytes=size_bytes)
    touched = {at // chunk_size_bytes for at in bytes_of(extents)}
    assert is_merged(aligned)
    assert bytes_of(aligned) == {at for at in range(size_bytes) if at // chunk_size_bytes in touched}
