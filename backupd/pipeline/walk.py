"""Every chunk of a stored backup, fetched and verified, many at a time and out of order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

from chunker.node import Pointer, Slots
from chunker.tree import LoadNodes, Tree, TreeReader

SpanPointers = Mapping[int, Pointer]


async def spans(tree: Tree, load: LoadNodes, *, span_chunks: int) -> AsyncIterator[SpanPointers]:
    """Yield, ascending, the chunks that are not zero, in spans cut at multiples of ``span_chunks``."""
    async for leaf in TreeReader(tree, load).leaves(0, tree.chunk_count):
        for span in cut(leaf, span_chunks=span_chunks):
            yield span


def cut(leaf: Slots, *, span_chunks: int) -> Iterator[SpanPointers]:
    """Yield the chunks of a leaf in spans cut at multiples of ``span_chunks``."""
    span: Slots = {}
    for index, pointer in leaf.items():
        if span and index // span_chunks != next(iter(span)) // span_chunks:
            yield span
            span = {}
        span[index] = pointer
    yield span


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


async def for_each_span(
    pointers: AsyncIterator[SpanPointers], work: Callable[[SpanPointers], Awaitable[None]], *, tasks_max: int
) -> None:
    """Run ``work`` for every span, ``tasks_max`` at a time; the first failure cancels the others."""
    queue: asyncio.Queue[SpanPointers | None] = asyncio.Queue(maxsize=1)

    async def worker() -> None:
        while (span := await queue.get()) is not None:
            await work(span)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(tasks_max):
            tasks.create_task(worker())
        async for span in pointers:
            await queue.put(span)
        for _ in range(tasks_max):
            await queue.put(None)
