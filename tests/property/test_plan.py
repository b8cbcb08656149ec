"""What a backup plans to read, against a plain array of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from backupd.pipeline import plan
from chunker.extents import Extent, clip, merge
from chunker.sources.memory import PAGE_BYTES, MemoryPoint, MemoryVolume

CHUNK = PAGE_BYTES
PAGES_MAX = 24
places = st.lists(st.tuples(st.integers(0, PAGES_MAX * PAGE_BYTES), st.integers(1, 3 * PAGE_BYTES)), max_size=6)
sizes = st.integers(1, PAGES_MAX * PAGE_BYTES)


def clipped(found: list[tuple[int, int]], size: int) -> tuple[Extent, ...]:
    return merge(Extent(start, min(length, size - start)) for start, length in found if start < size)


def opened(size: int, written: list[tuple[int, int]]) -> tuple[MemoryPoint, bytearray]:
    """Return a volume with data in some places, and its plain bytes."""
    volume, plain = MemoryVolume(size), bytearray(size)
    for extent in clipped(written, size):
        content = b"\x5a" * extent.length_bytes
        volume.write(extent.offset_bytes, content)
        plain[extent.offset_bytes : extent.end_bytes] = content
    return volume.open(), plain


def planned(point: MemoryPoint, changed: tuple[Extent, ...], chunk_size: int, span: int) -> Iterator[plan.Span]:
    return plan.spans(point, changed, chunk_size_bytes=chunk_size, span_chunks=span)


@given(sizes, places, places, st.sampled_from([CHUNK // 4, CHUNK, 4 * CHUNK]), st.sampled_from([1, 2, 8]))
def test_each_changed_chunk_is_planned_once(
    size: int, written: list[tuple[int, int]], changed: list[tuple[int, int]], chunk_size: int, span: int
) -> None:
    point, _ = opened(size, written)
    extents = clipped(changed, size)
    starts = range(0, size, chunk_size)
    expected = {start // chunk_size for start in starts if clip(extents, Extent(start, chunk_size))}
    position, seen = 0, set[int]()
    for first, end, is_data in planned(point, extents, chunk_size, span):
        assert position <= first < end <= -(-size // chunk_size)
        assert not is_data or first // span == (end - 1) // span
        position = end
        seen.update(range(first, end))
    assert seen == expected


@given(sizes, places, places, st.sampled_from([CHUNK // 4, CHUNK, 4 * CHUNK]))
def test_what_is_planned_as_zeros_is_zeros(
    size: int, written: list[tuple[int, int]], changed: list[tuple[int, int]], chunk_size: int
) -> None:
    point, plain = opened(size, written)
    for first, end, is_data in planned(point, clipped(changed, size), chunk_size, 8):
        assert is_data or not any(plain[first * chunk_size : end * chunk_size])


@given(sizes, places, places, st.sampled_from([CHUNK // 4, CHUNK, 4 * CHUNK]))
def test_the_size_told_beforehand_is_what_is_read(
    size: int, written: list[tuple[int, int]], changed: list[tuple[int, int]], chunk_size: int
) -> None:
    point, _ = opened(size, written)
    extents = clipped(changed, size)
    spans = planned(point, extents, chunk_size, 8)
    read = sum(min(end * chunk_size, size) - first * chunk_size for first, end, is_data in spans if is_data)
    assert plan.data_size(point, extents, chunk_size_bytes=chunk_size) == read


@given(sizes, places, places, st.sampled_from([1, 2, 8]))
def test_trips_are_the_same_spans_in_the_same_order(
    size: int, written: list[tuple[int, int]], changed: list[tuple[int, int]], span: int
) -> None:
    point, _ = opened(size, written)
    spans = [*planned(point, clipped(changed, size), CHUNK, span)]
    trips = [*plan.trips(spans, chunks_max=span)]
    assert [one for trip in trips for one in trip] == spans
    for trip in trips:
        assert sum(one.chunk_count for one in trip) <= span or not trip[0].is_data
        assert [one.is_data for one in trip] in ([True] * len(trip), [False])
    for one, other in pairwise(trips):  # None could have gone with the one before.
        together = sum(piece.chunk_count for piece in [*one, other[0]])
        assert together > span or not (one[0].is_data and other[0].is_data)
