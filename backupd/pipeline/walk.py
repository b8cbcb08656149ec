"""Which chunks of a stored backup are fetched together. Pure, but for loading nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping

from chunker.node import Pointer, Slots
from chunker.tree import LoadNodes, Tree, TreeReader

SpanPointers = Mapping[int, Pointer]


async def spans(tree: Tree, load: LoadNodes, *, run_chunks: int, stored_bytes_max: int) -> AsyncIterator[SpanPointers]:
    """Yield, ascending, the chunks that are not zero, in spans as ``cut`` makes them."""
    async for leaf in TreeReader(tree, load).leaves(0, tree.chunk_count):
        for span in cut(leaf, run_chunks=run_chunks, stored_bytes_max=stored_bytes_max):
            yield span


def cut(leaf: Slots, *, run_chunks: int, stored_bytes_max: int) -> Iterator[SpanPointers]:
    """Yield the chunks of a leaf in spans of at most ``stored_bytes_max`` of frames.

    They are cut at multiples of ``run_chunks``; so many chunks are never more than ``stored_bytes_max``.
    """
    span: Slots = {}
    span_bytes = 0
    for run in _groups(leaf, run_chunks):
        run_bytes = sum(pointer.length for pointer in run.values())
        if span and span_bytes + run_bytes > stored_bytes_max:
            yield span
            span, span_bytes = {}, 0
        span.update(run)
        span_bytes += run_bytes
    yield span


def _groups(leaf: Slots, chunks: int) -> Iterator[Slots]:
    """Yield what lies between two multiples of ``chunks``, ascending."""
    group: Slots = {}
    end = 0
    for index, pointer in leaf.items():
        if index >= end:
            if group:
                yield group
            group, end = {}, (index // chunks + 1) * chunks
        group[index] = pointer
    yield group


def runs(span: SpanPointers, *, chunks_max: int) -> Iterator[range]:
    """Yield the indexes of neighbouring chunks, cut at multiples of ``chunks_max``, ascending."""
    start = end = -1
    for index in sorted(span):
        if index != end or index % chunks_max == 0:
            if start < end:
                yield range(start, end)
            start = index
        end = index + 1
    if start < end:
        yield range(start, end)
