"""Which ranges of which backups need what is damaged on a target, and what the backups need that is lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from backupd.condition import Damage, joined
from backupd.errors import CorruptObject
from backupd.jobs.places import Places
from backupd.jobs.recording import damage_of, record
from backupd.jobs.repositories_of import RepositoryScope
from backupd.jobs.resources import Resources
from backupd.pipeline.fetch import NodeFetcher
from backupd.pipeline.inspection import Finding
from backupd.pipeline.nodes import NodeCache
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.references import Needed, ReferenceFinder
from backupd.pipeline.scrub import Scrub
from backupd.repository import layout
from backupd.repository.manifest import Manifest
from backupd.repository.repository import Repository
from chunker.node import Pointer
from targets.base import exists

_DAMAGES_MAX = 100_000
_LOST = "lost: the target has no such object"
_Ranges = dict[str, dict[str, list[tuple[int, int]]]]
"""Key of an object and where in it -> backup -> offset and length in its volume."""


async def look_at_description(resources: Resources, scope: RepositoryScope) -> dict[str, str]:
    """Return whether ``repository.json`` is damaged or lost, in the form of ``Locating``; every backup needs it."""
    condition = resources.catalog.condition
    holding = await condition.holding(scope.project, scope.target, is_encrypted=scope.is_encrypted)
    if not await exists(scope.store, layout.REPOSITORY):
        lost = damage_of(scope, layout.REPOSITORY, Finding(_LOST), resources.clock.now(), is_lost=True)
        await condition.clear(scope, layout.REPOSITORY)
        await condition.add_damages([lost])
    damages = await condition.damages(
        scope.project, target=scope.target, is_encrypted=scope.is_encrypted, key=layout.REPOSITORY
    )
    for one in damages:
        await condition.locate(one.id, {backup_id: [(0, size)] for backup_id, size in holding.items()})
    return {scope.prefix + one.key: one.message for one in damages}


class Locating:
    """Walks the trees of every backup on one target; nodes that they share are read once."""

    def __init__(self, resources: Resources, scope: RepositoryScope, repository: Repository) -> None:
        self._resources = resources
        self._condition = resources.catalog.condition
        self._scope = scope
        self._repository = repository.through(scope.store)
        self._known: dict[str, list[Damage]] = {}
        self._places = Places(resources, scope, self._repository)
        self._lost: dict[bytes, str] = {}

    async def run(self) -> dict[str, str]:
        """Return what is damaged: whole key -> what is wrong with it. The catalog has the backups and ranges then."""
        await self._load()
        nodes = NodeCache(NodeFetcher(self._repository, self._resources.workers))
        finder = ReferenceFinder(nodes.load, self._wanted)
        needs: dict[str, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        there = {backup_id async for backup_id in self._repository.backup_ids()}
        for backup_id in sorted(there):
            manifest = await self._manifest(backup_id, needs)
            if manifest is None:
                continue
            found = await finder.find(manifest.tree)
            if found and await self._repository.has_manifest(backup_id):  # Else it was deleted meanwhile.
                await self._note(manifest, found, needs)
        await self._look_for_manifests(there, needs)
        await self._store(needs)
        return {self._scope.prefix + key: found[0].message for key, found in self._known.items() if found}

    async def _load(self) -> None:
        damages = await self._condition.damages(
            self._scope.project,
            target=self._scope.target,
            is_encrypted=self._scope.is_encrypted,
            limit=_DAMAGES_MAX,
        )
        self._known = {}
        for one in damages:
            self._known.setdefault(one.key, []).append(one)

    async def _manifest(self, backup_id: str, needs: _Ranges) -> Manifest | None:
        key = layout.manifest(backup_id)
        try:
            return await self._repository.manifest(backup_id)
        except CorruptObject as error:
            if key not in self._known:
                await self._add(key, Finding(str(error).removeprefix(f"{key}: ")))
            needs[key][backup_id] = [(0, await self._size(backup_id))]
            return None

    async def _size(self, backup_id: str) -> int:
        sizes = await self._condition.holding(
            self._scope.project, self._scope.target, is_encrypted=self._scope.is_encrypted
        )
        return sizes.get(backup_id, 0)

    async def _wanted(self, pointers: Sequence[Pointer]) -> Collection[Pointer]:
        now = await self._places.now(pointers)
        return {pointer for pointer, place in now.items() if self._is_hurt(place)}

    def _is_hurt(self, pointer: Pointer) -> bool:
        size = self._places.size(pointer.pack)
        if size is None or pointer.offset + pointer.length > size:
            self._lost.setdefault(pointer.pack, _LOST if size is None else f"cut short: it has {size} bytes")
            return True
        found = self._known.get(layout.pack(pointer.pack), [])
        return any(one.offset is None or one.frame_id is None or one.offset == pointer.offset for one in found)

    async def _note(self, manifest: Manifest, found: Sequence[Needed], needs: _Ranges) -> None:
        chunk_size = manifest.chunk_size_bytes
        now = await self._places.now(one.pointer for one in found)
        for one in found:
            place = now[one.pointer]
            damage = await self._damage(layout.pack(place.pack), place)
            if damage is None:
                continue
            start, end = one.first * chunk_size, min(one.end * chunk_size, manifest.size_bytes)
            # A footer is read by no restore.
            is_needed = damage.offset is None or damage.frame_id is not None
            ranges = needs[damage.id][manifest.backup_id]
            if is_needed:
                ranges.append((start, end - start))
                ranges[:] = joined(ranges) if len(ranges) % 1024 == 0 else ranges

    async def _damage(self, key: str, pointer: Pointer) -> Damage | None:
        """Return what is wrong with the frame of a pointer; what is not known yet is looked at now."""
        if pointer.pack in self._lost:
            await self._add_lost(key, self._lost[pointer.pack])
        elif key not in self._known:
            await self._inspect(key)
        found = self._known.get(key, [])
        exact = [one for one in found if one.offset == pointer.offset and one.frame_id is not None]
        return next(iter([*exact, *(one for one in found if one.offset is None or one.frame_id is None)]), None)

    async def _inspect(self, key: str) -> None:
        scrub = Scrub(
            self._scope.store,
            self._repository,
            workers=self._resources.workers,
            budget=self._resources.budget(),
            progress=ProgressMeter(self._resources.clock),
        )
        inspected = await scrub.inspect(key)
        if inspected is not None:
            await record(self._resources, self._scope, key, inspected.findings, size_bytes=inspected.size_bytes)
            await self._load()

    async def _add_lost(self, key: str, message: str) -> None:
        """Note that an object is lost, instead of what was wrong with it before."""
        if not any(one.is_lost for one in self._known.get(key, [])):
            await self._condition.clear(self._scope, key)
            self._known.pop(key, None)
            await self._add(key, Finding(message), is_lost=True)

    async def _add(self, key: str, finding: Finding, *, is_lost: bool = False) -> None:
        damage = damage_of(self._scope, key, finding, self._resources.clock.now(), is_lost=is_lost)
        await self._condition.add_damages([damage])
        self._known.setdefault(key, []).append(damage)
        if (pack_id := layout.pack_id(key)) is not None:
            await self._resources.repositories.forget_pack(pack_id)

    async def _look_for_manifests(self, there: set[str], needs: _Ranges) -> None:
        """Find backups that the catalog says are here and are not, and those that no key opens."""
        holding = await self._condition.holding(
            self._scope.project, self._scope.target, is_encrypted=self._scope.is_encrypted
        )
        for backup_id, size_bytes in holding.items():
            key = layout.manifest(backup_id)
            if backup_id not in there and not await self._repository.has_manifest(backup_id):
                await self._add_lost(key, _LOST)
                needs[key][backup_id] = [(0, size_bytes)]

    async def _store(self, needs: _Ranges) -> None:
        self._known.pop(layout.REPOSITORY, None)  # Who looks at that has told what needs it.
        for key, damages in [*self._known.items()]:
            for damage in damages:
                found = {**needs.get(key, {}), **needs.get(damage.id, {})}
                await self._condition.locate(damage.id, {one: joined(ranges) for one, ranges in found.items()})
            is_needed = key in needs or any(one.id in needs for one in damages)
            if not is_needed and (all(one.is_lost for one in damages) or await self._is_gone(key)):
                await self._condition.clear(self._scope, key)  # Nobody needs it any more.
                del self._known[key]

    async def _is_gone(self, key: str) -> bool:
        """Tell whether an object was removed since it was found damaged."""
        whole = self._scope.prefix + key
        return whole not in await self._condition.sizes(self._scope.target, [whole])
