"""Compaction: the frames that live in packs which are mostly dead, copied as they are into new packs.

Frames are bound to their id, kind and repository, and not to a pack, so no key is needed; checksums are looked at.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import xxhash

from backupd.collection import Condemned
from backupd.errors import CorruptObject
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.fetch import fetch_ranges, frames_in, named, read_again_if_corrupt
from backupd.pipeline.marks import Marks
from backupd.pipeline.room import CHUNK_PACK_SIZE_BYTES
from backupd.pipeline.workers import Workers
from backupd.repository import forward, layout
from backupd.repository.forward import Place
from backupd.repository.ranges import coalesce
from backupd.repository.repository import Repository
from chunker import frame
from chunker.digest import Kind
from chunker.errors import CorruptFrame
from chunker.node import Pointer
from chunker.pack import PACK_ID_SIZE_BYTES, PackEntry, PackWriter
from targets.errors import ObjectNotFound, ShortRead, Unavailable

_GAP_BYTES_MAX = 64 * 1024
_GROUP_PACKS = 32
_PIECE_BYTES = 1024 * 1024
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Moved:
    """Where the frames of some packs are now, too. ``damaged``: packs that were left alone."""

    places: dict[bytes, dict[int, Place]] = field(default_factory=dict)
    damaged: set[bytes] = field(default_factory=set)
    entries: list[tuple[bytes, Sequence[PackEntry]]] = field(default_factory=list)
    stored_bytes: int = 0


@dataclass(slots=True)
class _Open:
    """A new pack that is being filled, and whose frames are in it."""

    writer: PackWriter
    origins: list[tuple[bytes, int]] = field(default_factory=list)


class Compactor:
    """Moves frames within one repository on one target."""

    def __init__(self, repository: Repository, marks: Marks, workers: Workers, budget: ByteBudget) -> None:
        self._repository = repository
        self._marks = marks
        self._workers = workers
        self._budget = budget

    def groups(self, packs: Sequence[Condemned]) -> Iterator[Sequence[Condemned]]:
        """Cut into groups whose frames fill a few new packs; what is lost by a crash is the work of one."""
        for start in range(0, len(packs), _GROUP_PACKS):
            yield packs[start : start + _GROUP_PACKS]

    async def move(self, pack_ids: Sequence[bytes]) -> Moved:
        """Store what lives in packs anew. Nothing refers to it before ``store_forwards``.

        Unavailable when the target does not have afterwards what it said it stored.
        """
        moved = Moved()
        async with (
            self._budget.lend(CHUNK_PACK_SIZE_BYTES) as chunks,
            self._budget.lend(CHUNK_PACK_SIZE_BYTES) as nodes,
        ):
            rooms = {Kind.CHUNK: chunks, Kind.NODE: nodes}
            opened: dict[Kind, _Open] = {}
            for pack_id in pack_ids:
                try:
                    await self._move_pack(pack_id, rooms, opened, moved)
                except CorruptObject as error:
                    _log.warning("%s is not compacted: %s", layout.pack(pack_id), error)
                    moved.damaged.add(pack_id)
            for one in opened.values():
                await self._store(one, moved)
        return moved

    async def store_forwards(self, pack_ids: Sequence[bytes], moved: Moved) -> None:
        """Say where the frames of packs are that are about to be deleted; what was said before holds, too.

        Unavailable when the target does not have afterwards what it said it stored.
        """
        for pack_id in pack_ids:
            if places := moved.places.get(pack_id):
                known = await self._said_before(pack_id)
                body = forward.encode(pack_id, {**known, **places})
                await self._repository.target.put(layout.forward(pack_id), body)
                await self._read_back(layout.forward(pack_id), memoryview(body))

    async def _said_before(self, pack_id: bytes) -> Mapping[int, Place]:
        try:
            return await self._repository.forward(pack_id) or {}
        except CorruptObject as error:
            # Nothing hangs on it: the pack is still there, and all that lives in it has just been moved.
            _log.warning("it is written anew: %s", error)
            return {}

    async def _move_pack(
        self, pack_id: bytes, rooms: Mapping[Kind, memoryview], opened: dict[Kind, _Open], moved: Moved
    ) -> None:
        live = dict(await self._workers.run(self._marks.live_frames, pack_id))
        if not await self._repository.has_pack(pack_id):
            return  # Somebody died when it was gone, but not yet forgotten; its forward is there.
        footer = await self._repository.footer(pack_id)
        entries = [entry for entry in footer if live.get(entry.offset) == entry.length]
        if len(entries) < len(live):
            raise CorruptObject(f"{layout.pack(pack_id)}: its footer lacks frames that backups need", pack_id=pack_id)
        ranges = coalesce(
            (Pointer(entry.id, pack_id, entry.offset, entry.length) for entry in entries), gap_bytes_max=_GAP_BYTES_MAX
        )
        async with self._budget.lend(sum(wanted.length for wanted in ranges)) as stored:

            async def read() -> None:
                await fetch_ranges(self._repository, ranges, stored)
                await self._workers.run(_check, pack_id, entries, frames_in(ranges, stored))

            await read_again_if_corrupt(self._repository, read)
            frames = frames_in(ranges, stored)
            for entry in entries:
                pointer = Pointer(entry.id, pack_id, entry.offset, entry.length)
                await self._append(entry, pointer, frames[pointer], rooms[entry.kind], opened, moved)

    async def _append(
        self,
        entry: PackEntry,
        pointer: Pointer,
        stored: memoryview,
        room: memoryview,
        opened: dict[Kind, _Open],
        moved: Moved,
    ) -> None:
        current = opened.get(entry.kind)
        if current is not None and not current.writer.fits(len(stored)):
            await self._store(current, moved)
            current = None
        if current is None:
            current = opened[entry.kind] = _Open(PackWriter(secrets.token_bytes(PACK_ID_SIZE_BYTES), room))
        current.writer.append(entry.kind, entry.id, stored)
        current.origins.append((pointer.pack, pointer.offset))

    async def _store(self, full: _Open, moved: Moved) -> None:
        body = full.writer.seal()
        await self._repository.put_pack(full.writer.pack_id, body)
        await self._read_back(layout.pack(full.writer.pack_id), body)
        moved.stored_bytes += len(body)
        moved.entries.append((full.writer.pack_id, full.writer.entries))
        for (pack_id, offset), entry in zip(full.origins, full.writer.entries, strict=True):
            place = Place(full.writer.pack_id, entry.offset, entry.length)
            moved.places.setdefault(pack_id, {})[offset] = place

    async def _read_back(self, key: str, body: memoryview) -> None:
        """Look whether it is there, piece by piece: what it was made from, and nobody has twice, is deleted next."""
        async with self._budget.lend(min(len(body), _PIECE_BYTES)) as piece:
            for start in range(0, len(body), len(piece)):
                wanted = body[start : start + len(piece)]
                there = piece[: len(wanted)]
                try:
                    await self._repository.target.get_into(key, there, offset=start)
                except (ObjectNotFound, ShortRead) as error:
                    raise Unavailable(f"{key}: the target said that it stored it: {error}") from error
                if not await self._workers.run(_are_equal, there, wanted):
                    raise Unavailable(f"{key}: the target has other bytes from {start} on than it was given")


def _are_equal(one: memoryview, other: memoryview) -> bool:
    # By digests, since comparing two views goes byte by byte and holds the interpreter's lock.
    return xxhash.xxh3_128_digest(one) == xxhash.xxh3_128_digest(other)


def _check(pack_id: bytes, entries: Sequence[PackEntry], frames: Mapping[Pointer, memoryview]) -> None:
    for entry in entries:
        pointer = Pointer(entry.id, pack_id, entry.offset, entry.length)
        try:
            frame.check(frames[pointer])
        except CorruptFrame as error:
            raise named(pointer, error) from error
