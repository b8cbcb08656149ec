"""Packs repaired: each from a copy, or its frames from copies and from the volumes that still have their content."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field

from backupd.errors import BackupdError, CorruptObject
from backupd.jobs.places import Places
from backupd.jobs.points import let_go
from backupd.jobs.repositories_of import RepositoryScope
from backupd.jobs.resources import Resources
from backupd.model import Backup
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.fetch import NodeFetcher
from backupd.pipeline.inspection import inspect_pack
from backupd.pipeline.mend import Mended, Mender
from backupd.pipeline.nodes import NodeCache
from backupd.pipeline.references import Needed, ReferenceFinder
from backupd.repository import layout
from backupd.repository.manifest import Manifest
from backupd.repository.ranges import Range
from backupd.repository.repository import Repository
from chunker import pack
from chunker.digest import Kind
from chunker.errors import ChunkerError, CorruptPack, UnknownFormat
from chunker.frame import FrameReader
from chunker.node import Pointer
from chunker.pack import PackEntry
from chunker.sources.base import PointInTime
from targets.errors import ObjectNotFound, TargetError

_PLACES_MAX = 8
_NOBODY = "{} of its frames are neither on another target nor in a volume as they were"
_UNKNOWN = "nobody says any more what it holds: its footer is damaged or lost, and not every tree can be read"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in which volume a chunk was."""

    backup: Backup
    offset: int
    length: int


@dataclass(slots=True)
class _Wanted:
    """What trees want of one pack: frame -> where its content was."""

    kinds: dict[Pointer, Kind] = field(default_factory=dict)
    places: defaultdict[bytes, list[_Place]] = field(default_factory=lambda: defaultdict(list))
    said: dict[int, Pointer] = field(default_factory=dict)
    """By offset, what trees say of frames that a compaction has moved here: that is where other targets have them."""


class PackMending:
    """Repairs packs of one repository on one target. ``others`` are its copies on other targets."""

    def __init__(
        self,
        resources: Resources,
        scope: RepositoryScope,
        repository: Repository,
        others: Sequence[Repository],
        budget: ByteBudget,
    ) -> None:
        self._resources = resources
        self._scope = scope
        self._repository = repository
        self._others = [one for one in others if one.keys.repository_id == repository.keys.repository_id]
        self._budget = budget
        self._mender = Mender(repository)
        self._has_read_all = True

    async def run(self, packs: Sequence[bytes]) -> AsyncIterator[tuple[bytes, str | None]]:
        """Yield each pack when it was stored anew, or with the reason why not all of it could be."""
        left = []
        for pack_id in packs:
            if await self._copy(pack_id):
                yield pack_id, None
            else:
                left.append(pack_id)
        if left:
            wanted = await self._find(left)
            for pack_id in left:
                yield pack_id, await self._mend(pack_id, wanted[pack_id])

    async def _copy(self, pack_id: bytes) -> bool:
        """Store a pack as another target has it, if one has all of it."""
        for other in self._others:
            try:
                size_bytes = await other.pack_size(pack_id)
                async with self._budget.lend(size_bytes) as body:
                    await other.fetch(Range(pack_id, 0, size_bytes, []), body)
                    reader = FrameReader(self._repository.keys)
                    if await self._resources.workers.run(inspect_pack, pack_id, body, reader):
                        continue
                    await self._repository.put_pack(pack_id, body)
                    return True
            except (CorruptObject, TargetError) as error:
                _log.warning("%s cannot be copied: %s", layout.pack(pack_id), error)
        return False

    async def _find(self, packs: Sequence[bytes]) -> defaultdict[bytes, _Wanted]:
        """Return what all trees want of some packs; of the packs that cannot be read, as far as it can be known."""
        names = {*packs}
        found: defaultdict[bytes, _Wanted] = defaultdict(_Wanted)

        places = Places(self._resources, self._scope, self._repository)

        async def wanted(pointers: Sequence[Pointer]) -> Collection[Pointer]:
            now = await places.now(pointers)
            return {pointer for pointer, place in now.items() if place.pack in names}

        nodes = NodeCache(NodeFetcher(self._repository, self._resources.workers))
        finder = ReferenceFinder(nodes.load, wanted)
        async for backup_id in self._repository.backup_ids():
            try:
                manifest = await self._repository.manifest(backup_id)
                backup = await self._resources.catalog.backup(self._scope.project, backup_id)
            except (BackupdError, UnknownFormat):
                self._has_read_all = False
                continue
            needed = await finder.find(manifest.tree) if manifest is not None else []
            now = await places.now(one.pointer for one in needed)
            for one in needed:
                self._has_read_all &= one.is_readable
                place = now[one.pointer]
                if place.pack in names and manifest is not None:
                    _note(found[place.pack], one, place, manifest, backup)
        return found

    async def _mend(self, pack_id: bytes, wanted: _Wanted) -> str | None:
        body = await self._body(pack_id)
        entries = await self._entries(pack_id, body, wanted)
        if entries is None:
            return _UNKNOWN
        has_footer = await self._resources.workers.run(_has_footer, pack_id, body)
        frames: dict[int, bytes | memoryview] = {}
        for entry in entries:
            stored = body[entry.offset : entry.offset + entry.length]
            if await self._resources.workers.run(self._mender.is_right, entry, stored):
                frames[entry.offset] = stored
        sound = len(frames)
        for entry in entries:
            if entry.offset in frames:
                continue
            said = wanted.said.get(entry.offset) or Pointer(entry.id, pack_id, entry.offset, entry.length)
            if (copied := await self._from_copies(said, entry)) is not None:
                frames[entry.offset] = copied
        await self._from_volumes(entries, wanted, frames)
        try:
            mended: Mended = await self._resources.workers.run(self._mender.put_together, pack_id, entries, frames)
        except ValueError as error:
            return f"it cannot be put together: {error}"
        if len(frames) > sound or not has_footer:
            await self._repository.put_pack(pack_id, mended.body)
        return _NOBODY.format(len(mended.missing)) if mended.missing else None

    async def _body(self, pack_id: bytes) -> memoryview:
        """Return what there is of a pack."""
        try:
            return memoryview(await self._scope.store.get(layout.pack(pack_id)))
        except ObjectNotFound:
            return memoryview(b"")

    async def _entries(self, pack_id: bytes, body: memoryview, wanted: _Wanted) -> list[PackEntry] | None:
        """Return what the pack holds, as its footer or that of a copy says, else as trees want it.

        None when that is not known well enough: what no tree that can be read wants may be wanted nevertheless.
        """
        try:
            return pack.read_footer(pack_id, len(body), body)
        except (CorruptPack, UnknownFormat):
            pass
        for other in self._others:
            try:
                return await other.footer(pack_id)
            except (CorruptObject, TargetError, UnknownFormat):
                continue
        entries = [PackEntry(p.id, p.offset, p.length, kind) for p, kind in wanted.kinds.items()]
        is_known = self._has_read_all and (not body or _tile(entries, body))
        return sorted(entries, key=lambda one: one.offset) if is_known else None

    async def _from_copies(self, said: Pointer, entry: PackEntry) -> bytes | None:
        for other in self._others:
            stored = memoryview(bytearray(entry.length))
            try:
                await other.fetch(Range(said.pack, said.offset, said.length, [said]), stored)
            except (CorruptObject, TargetError):
                continue
            if await self._resources.workers.run(self._mender.is_right, entry, stored):
                return bytes(stored)
        return None

    async def _from_volumes(
        self, entries: Sequence[PackEntry], wanted: _Wanted, frames: dict[int, bytes | memoryview]
    ) -> None:
        """Add frames of chunks that volumes still have as they were."""
        missing = [one for one in entries if one.offset not in frames and one.kind is Kind.CHUNK]
        volumes = {place.backup.volume_id for one in missing for place in wanted.places[one.id]}
        for volume_id in sorted(volumes):
            point = await self._open(volume_id)
            if point is None:
                continue
            try:
                for entry in missing:
                    for place in wanted.places[entry.id]:
                        if place.backup.volume_id == volume_id and entry.offset not in frames:
                            frame = await self._resources.workers.run(self._from_volume, point, entry, place)
                            frames |= {entry.offset: frame} if frame is not None else {}
            finally:
                await self._resources.workers.run(let_go, [point])

    async def _open(self, volume_id: str) -> PointInTime | None:
        try:
            volume = await self._resources.catalog.volume(self._scope.project, volume_id)
            return await self._resources.workers.opened(
                lambda: self._resources.open_source(volume).open(), lambda point: let_go([point])
            )
        except (BackupdError, ChunkerError) as error:
            _log.warning("volume %s cannot be looked at: %s", volume_id, error)
            return None

    def _from_volume(self, point: PointInTime, entry: PackEntry, place: _Place) -> bytes | None:
        if place.offset + place.length > point.size_bytes:
            return None
        plain = memoryview(bytearray(place.length))
        try:
            point.read_into(place.offset, plain)
        except ChunkerError as error:
            _log.warning("volume %s cannot be read at byte %d: %s", place.backup.volume_id, place.offset, error)
            return None
        return self._mender.frame_of(entry, plain, levels=[place.backup.compression_level])


def _has_footer(pack_id: bytes, body: memoryview) -> bool:
    try:
        pack.read_footer(pack_id, len(body), body)
    except (CorruptPack, UnknownFormat):
        return False
    return True


def _tile(entries: Sequence[PackEntry], body: memoryview) -> bool:
    """Tell whether these are all frames of a pack: then they and its footer are as long as it is."""
    frames_bytes = sum(one.length for one in entries)
    footer_bytes = len(entries) * pack.ENTRY_SIZE_BYTES + pack.TRAILER_SIZE_BYTES
    return frames_bytes + footer_bytes == len(body)


def _note(wanted: _Wanted, needed: Needed, pointer: Pointer, manifest: Manifest, backup: Backup) -> None:
    wanted.said.setdefault(pointer.offset, needed.pointer)
    wanted.kinds.setdefault(pointer, Kind.NODE if needed.is_node else Kind.CHUNK)
    places = wanted.places[pointer.id]
    if not needed.is_node and len(places) < _PLACES_MAX:
        offset = needed.first * manifest.chunk_size_bytes
        places.append(_Place(backup, offset, min(manifest.chunk_size_bytes, manifest.size_bytes - offset)))
