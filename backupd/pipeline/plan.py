"""What a backup has to read: spans of chunks that may hold data, and stretches that are zeros."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from chunker.extents import Extent
from chunker.sources.base import PointInTime


class Span(NamedTuple):
    """Chunks [first, end): to be read when ``is_data``, zeros otherwise."""

    first: int
    end: int
    is_data: bool

    @property
    def chunk_count(self) -> int:
        return self.end - self.first


def spans(source: PointInTime, changed: Iterable[Extent], *, chunk_size_bytes: int, span_chunks: int) -> Iterator[Span]:
    """Yield, ascending, what ``changed`` covers, whole chunks at a time.

    Data comes in spans of at most ``span_chunks`` that do not cross a multiple of it, so that reads are
    large and aligned; zeros come as they are. Blocks: the source is asked where its holes are.
    """
    for first, end in chunk_ranges(changed, chunk_size_bytes):
        position = first
        for data_first, data_end in chunk_ranges(
            source.data_extents(_extent(first, end, chunk_size_bytes, source.size_bytes)), chunk_size_bytes
        ):
            if position < data_first:
                yield Span(position, data_first, is_data=False)
            position = data_first
            while position < data_end:
                cut = min(data_end, (position // span_chunks + 1) * span_chunks)
                yield Span(position, cut, is_data=True)
                position = cut
        if position < end:
            yield Span(position, end, is_data=False)


def trips(spans: Iterable[Span], *, chunks_max: int) -> Iterator[list[Span]]:
    """Gather neighbouring spans of data for one trip to a thread; each stretch of zeros comes by itself."""
    trip: list[Span] = []
    for span in spans:
        if trip and (not span.is_data or sum(one.chunk_count for one in [*trip, span]) > chunks_max):
            yield trip
            trip = []
        if span.is_data:
            trip.append(span)
        else:
            yield [span]
    if trip:
        yield trip


def data_size(source: PointInTime, changed: Iterable[Extent], *, chunk_size_bytes: int) -> int:
    """Return how many bytes ``spans`` will ask to be read. Blocks."""
    size = 0
    for first, end in chunk_ranges(changed, chunk_size_bytes):
        within = _extent(first, end, chunk_size_bytes, source.size_bytes)
        for data_first, data_end in chunk_ranges(source.data_extents(within), chunk_size_bytes):
            size += _extent(data_first, data_end, chunk_size_bytes, source.size_bytes).length_bytes
    return size


def chunk_ranges(extents: Iterable[Extent], chunk_size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield the chunk ranges [first, end) that ascending ``extents`` touch, each chunk once."""
    current: tuple[int, int] | None = None
    for extent in extents:
        first = extent.offset_bytes // chunk_size_bytes
        end = -(-extent.end_bytes // chunk_size_bytes)
        if current is None:
            current = first, end
        elif first <= current[1]:
            current = current[0], max(current[1], end)
        else:
            yield current
            current = first, end
    if current is not None:
        yield current


def _extent(first: int, end: int, chunk_size_bytes: int, size_bytes: int) -> Extent:
    offset = first * chunk_size_bytes
    return Extent(offset, min(end * chunk_size_bytes, size_bytes) - offset)
