"""From the target to verified plain bytes: ranges are requested, frames decoded in worker threads.

A frame that does not verify is read once more, because the damage may have happened on the way; what is then
still wrong is reported with its key and never handed out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from backupd.errors import CorruptObject
from backupd.pipeline.workers import Kits, Workers
from backupd.repository import layout
from backupd.repository.ranges import Range, coalesce
from backupd.repository.repository import Repository
from chunker import frame
from chunker.digest import Kind
from chunker.errors import CorruptFrame, UnknownFormat
from chunker.frame import FrameReader
from chunker.node import NODE_SIZE_BYTES_MAX, Pointer

T = TypeVar("T")
Frames = Mapping[Pointer, memoryview]
_NODE_GAP_BYTES_MAX = 64 * 1024
_log = logging.getLogger(__name__)


class NodeFetcher:
    """Reads nodes of one repository, verified."""

    def __init__(self, repository: Repository, workers: Workers) -> None:
        self._repository = repository
        self._workers = workers
        self._readers = Kits(lambda: FrameReader(repository.keys), workers.thread_count)

    async def fetch(self, pointers: Sequence[Pointer]) -> list[bytes]:
        """Return the plain bytes of each node; CorruptObject names the pack that is damaged or lost."""

        async def attempt() -> list[bytes]:
            ranges = coalesce(pointers, gap_bytes_max=_NODE_GAP_BYTES_MAX)
            stored = memoryview(bytearray(sum(wanted.length for wanted in ranges)))
            await fetch_ranges(self._repository, ranges, stored)
            return await self._workers.run(self._decode, pointers, ranges, stored)

        return await read_again_if_corrupt(self._repository, attempt)

    def _decode(self, pointers: Sequence[Pointer], ranges: Sequence[Range], stored: memoryview) -> list[bytes]:
        frames = frames_in(ranges, stored)
        with self._readers.lend() as reader:
            return [_decode_node(reader, pointer, frames[pointer]) for pointer in pointers]


async def fetch_ranges(repository: Repository, ranges: Sequence[Range], stored: memoryview) -> None:
    """Request all ``ranges`` at once into ``stored``, one behind the other."""
    parts = [stored[start : start + wanted.length] for start, wanted in _placed(ranges)]
    if len(ranges) == 1:  # The usual case needs no task of its own.
        await repository.fetch(ranges[0], parts[0])
        return
    async with asyncio.TaskGroup() as requests:
        for wanted, part in zip(ranges, parts, strict=True):
            requests.create_task(repository.fetch(wanted, part))


def frames_in(ranges: Sequence[Range], stored: memoryview) -> Frames:
    """Return where each frame is in ``stored``, which ``fetch_ranges`` filled."""
    frames: dict[Pointer, memoryview] = {}
    for start, wanted in _placed(ranges):
        to_stored = start - wanted.offset
        for pointer in wanted.pointers:
            first = pointer.offset + to_stored
            frames[pointer] = stored[first : first + pointer.length]
    return frames


def _placed(ranges: Sequence[Range]) -> Iterator[tuple[int, Range]]:
    start = 0
    for wanted in ranges:
        yield start, wanted
        start += wanted.length


async def read_again_if_corrupt(repository: Repository, attempt: Callable[[], Awaitable[T]]) -> T:
    """Await ``attempt``, and once more when what it read from ``repository`` was corrupt.

    What stays corrupt is reported as what is stored now: a frame may have been moved to another pack.
    """
    try:
        return await attempt()
    except* CorruptObject as errors:
        _log.warning("reading once more: %s", errors.exceptions[0])
    try:
        return await attempt()
    except CorruptFrameAt as error:
        place = await repository.located(error.pointer)
        if place == error.pointer:
            raise
        raise CorruptFrameAt(place, error.reason) from error


def decode_named(reader: FrameReader, kind: Kind, pointer: Pointer, stored: memoryview, plain: memoryview) -> None:
    """Decode the frame of ``pointer``; CorruptObject and UnknownFormat say where it is."""
    try:
        reader.decode(kind, pointer.id, stored, plain)
    except (CorruptFrame, UnknownFormat) as error:
        raise named(pointer, error) from error


def verify_named(reader: FrameReader, kind: Kind, pointer: Pointer, stored: memoryview, plain_size_bytes: int) -> None:
    """Verify the frame of ``pointer``; CorruptObject and UnknownFormat say where it is."""
    try:
        reader.verify(kind, pointer.id, stored, plain_size_bytes)
    except (CorruptFrame, UnknownFormat) as error:
        raise named(pointer, error) from error


def _decode_node(reader: FrameReader, pointer: Pointer, stored: memoryview) -> bytes:
    try:
        size = frame.plain_size(stored)
        if size > NODE_SIZE_BYTES_MAX:
            raise CorruptFrame(f"a node of {size} bytes, expected at most {NODE_SIZE_BYTES_MAX}")
    except CorruptFrame as error:
        raise named(pointer, error) from error
    plain = bytearray(size)
    decode_named(reader, Kind.NODE, pointer, stored, memoryview(plain))
    return bytes(plain)


class CorruptFrameAt(CorruptObject):
    """A frame is not what it should be; the message says where it is."""

    def __init__(self, pointer: Pointer, reason: str) -> None:
        super().__init__(_where(pointer, reason), pack_id=pointer.pack)
        self.pointer = pointer
        self.reason = reason


def named(pointer: Pointer, error: CorruptFrame | UnknownFormat) -> CorruptObject | UnknownFormat:
    """Return the error that also says where the frame is."""
    if isinstance(error, CorruptFrame):
        return CorruptFrameAt(pointer, str(error))
    return UnknownFormat(_where(pointer, str(error)))


def _where(pointer: Pointer, reason: str) -> str:
    return f"{layout.pack(pointer.pack)}: frame {pointer.id.hex()} at offset {pointer.offset}: {reason}"
