"""The repositories that this daemon has open, each opened once."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from backupd.clock import Clock
from backupd.errors import BackupdError, ConfigError, CorruptObject, RepositoryMismatch
from backupd.model import RepositoryName
from backupd.repository import layout
from backupd.repository.description import Description
from backupd.repository.index import ChunkIndex
from backupd.repository.keyring import Keyring
from backupd.repository.repository import Repository, new_description, read_description
from chunker.errors import UnknownFormat
from targets.base import Target, exists
from targets.errors import ObjectExists, ObjectNotFound, TargetError
from targets.wrappers.mirror import Mirror
from targets.wrappers.prefix import Prefix

CheckFit = Callable[[str], Awaitable[None]]
"""Raise unless a target, given by name, may be written to."""
Enlist = Callable[[RepositoryName, Target], Awaitable[None]]
"""Tell whoever collects a repository that this daemon writes to it; learn what not to rely on there."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A repository on one target or several. ``lagging`` grows while it is written to: target -> why."""

    repository: Repository
    targets: tuple[str, ...]
    lagging: Mapping[str, str]

    @property
    def complete(self) -> tuple[str, ...]:
        """The targets that have everything that was written."""
        return tuple(name for name in self.targets if name not in self.lagging)


@dataclass(frozen=True, slots=True)
class _Found:
    """``repository.json`` as it is stored, and opened."""

    body: bytes
    opened: Description


_LOST = (
    f"{layout.REPOSITORY} is lost: target {{target}} {{when}}, and has no such object now\n"
    "HINT: bring back what was there; or, if all of it is gone, delete the backups on this target and restart the "
    "daemon to begin anew"
)


class Repositories:
    """Opens repositories and their chunk indexes on first use and keeps them until ``close``.

    ``check_fit`` is asked before a target is written to; ``enlist`` before anything in a repository is relied on.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        keyring: Keyring,
        clock: Clock,
        index_dir: Path,
        check_fit: CheckFit | None = None,
        enlist: Enlist | None = None,
    ) -> None:
        self._targets = targets
        self._keyring = keyring
        self._clock = clock
        self._index_dir = index_dir
        self._check_fit = check_fit
        self._enlist = enlist
        self._found: dict[RepositoryName, _Found] = {}
        self._indexes: dict[str, ChunkIndex] = {}
        self._locks: dict[RepositoryName | str, asyncio.Lock] = {}

    async def open(self, project: str, targets: Sequence[str], *, is_encrypted: bool) -> Repository:
        """Return a repository to read from: of ``targets`` whatever is up and has it answers.

        ConfigError when none of them is configured; CorruptObject when there is no repository on them.
        """
        found: dict[str, _Found] = {}
        errors: dict[str, TargetError] = {}
        damaged: list[CorruptObject] = []
        for target in self._configured(targets):
            try:
                if (one := await self._find(RepositoryName(project, target, is_encrypted))) is not None:
                    found[target] = one
            except TargetError as error:
                errors[target] = error
            except CorruptObject as error:  # Another one may have it as it should be.
                damaged.append(error)
        if not found:
            lost = CorruptObject(f"{layout.REPOSITORY} is lost: the target has no such object")
            raise next(iter([*errors.values(), *damaged]), lost)
        _check_alike(found)
        members = {target: self.part_of(RepositoryName(project, target, is_encrypted)) for target in [*found, *errors]}
        store = next(iter(members.values()))
        if len(members) > 1:
            store = Mirror(members, behind=dict.fromkeys(members, "read from only"))
        return Repository(store, next(iter(found.values())).opened)

    async def open_to_write(
        self,
        project: str,
        targets: Sequence[str],
        *,
        is_encrypted: bool,
        quorum: int = 1,
        behind: Mapping[str, str] | None = None,
        holders: Collection[str] = (),
    ) -> Opened:
        """Return the repository that all ``targets`` hold alike, made where it is not there yet.

        Those that are ``behind``, cannot be reached or have lost it lag. With fewer than ``quorum`` left it is the
        error of the last. One of ``holders``, which have backups in it, has lost it when it is not there.
        RepositoryMismatch when two hold different ones; ConfigError when one is not configured.
        """
        lagging = dict(behind or {})
        names = {target: RepositoryName(project, target, is_encrypted) for target in targets}
        found, failure = await self._ask([*names.values()], lagging, holders)
        live = [target for target in targets if target not in lagging]
        if failure is not None and (not found or len(live) < quorum):
            # Who cannot be asked may hold the repository that the others will have to be copies of.
            _explain(failure, quorum=quorum, targets=targets, is_new=not found)
            raise failure
        if missing := [names[target] for target in live if target not in found]:
            found |= await self._begin(missing, next(iter(found.values()), None))
        original = next(iter(found.values()))
        _check_alike(found)
        await self._enlist_on([names[target] for target in live], lagging, quorum=quorum)
        members = {target: self.part_of(name) for target, name in names.items()}
        if len(members) == 1:
            return Opened(Repository(members[targets[0]], original.opened), tuple(targets), lagging)
        mirror = Mirror(members, quorum=quorum, behind=lagging)
        return Opened(Repository(mirror, original.opened), tuple(targets), mirror.lagging)

    async def enlist(self, name: RepositoryName) -> None:
        """Tell whoever else collects a repository that this daemon changes it."""
        if self._enlist is not None:
            await self._enlist(name, self.part_of(name))

    async def _enlist_on(self, names: Sequence[RepositoryName], lagging: dict[str, str], *, quorum: int) -> None:
        """Enlist on targets; one that fails joins ``lagging``, unless too few are left."""
        if self._enlist is None:
            return
        left = len(names)
        for name in names:
            try:
                await self._enlist(name, self.part_of(name))
            except TargetError as error:
                left -= 1
                if left < quorum:
                    raise
                lagging[name.target] = f"{error.code}: {error}"

    async def _ask(
        self, names: Sequence[RepositoryName], lagging: dict[str, str], holders: Collection[str]
    ) -> tuple[dict[str, _Found], TargetError | CorruptObject | None]:
        """Return what each target has; those that do not answer join ``lagging``, and the last error is told."""
        found: dict[str, _Found] = {}
        failure: TargetError | CorruptObject | None = None
        for name in names:
            target = name.target
            try:
                if target not in lagging and self._check_fit is not None:
                    await self._check_fit(target)
                if (one := await self._find_now(name)) is not None:
                    found[target] = one
                elif target in holders:
                    raise CorruptObject(_LOST.format(target=target, when="holds backups"))
            except (TargetError, CorruptObject) as error:
                lagging.setdefault(target, f"{error.code}: {error}")
                failure = error
        return found, failure

    async def open_copy(
        self, source: Repository, project: str, target: str, *, is_encrypted: bool, is_holder: bool = False
    ) -> Repository:
        """Return the repository of ``source`` on another target, where it becomes a copy of it.

        RepositoryMismatch when there is another one already; CorruptObject when ``is_holder``, which has backups
        that are relied on, and there is none.
        """
        name = RepositoryName(project, target, is_encrypted)
        if self._check_fit is not None:
            await self._check_fit(target)
        original = _Found(await source.target.get(layout.REPOSITORY), source.description)
        if is_holder and await self._find_now(name) is None:
            raise CorruptObject(_LOST.format(target=target, when="holds backups"))
        found = await self._find(name)
        if found is None or not await exists(self.part_of(name), layout.REPOSITORY):
            found = await self._copy(name, original)
        _check_alike({"the source": original, target: found})
        await self.enlist(name)
        return Repository(self.part_of(name), found.opened)

    async def check_description(self, project: str, target: str, *, is_encrypted: bool) -> None:
        """Raise unless the ``repository.json`` of a target, as it is there now, opens to what it did before.

        CorruptObject, KeyMissing, KeyMismatch, UnknownFormat, RepositoryMismatch.
        """
        name = RepositoryName(project, target, is_encrypted)
        body = await self.part_of(name).get(layout.REPOSITORY)
        now = _Found(body, read_description(body, self._keyring, is_encrypted=is_encrypted))
        if (known := self._found.get(name)) is not None:
            _check_alike({"this daemon": known, f"target {target}": now})

    async def mend_description(
        self, project: str, target: str, holders: Sequence[str], *, is_encrypted: bool
    ) -> str | None:
        """Store ``repository.json`` anew on a target and return where from, None when nobody has it as it should be.

        That is what this daemon has read of it, what another one of ``holders`` has, or what it was before the last
        rotation of the master key.
        """
        name = RepositoryName(project, target, is_encrypted)
        bodies: dict[str, bytes] = {}
        if (known := self._found.get(name)) is not None:
            bodies["what this daemon had read"] = known.body
        for other in [one for one in holders if one != target and one in self._targets]:
            store = self.part_of(RepositoryName(project, other, is_encrypted))
            with suppress(TargetError):
                bodies[f"target {other}"] = await store.get(layout.REPOSITORY)
        with suppress(ObjectNotFound):
            bodies[layout.PREVIOUS] = await self.part_of(name).get(layout.PREVIOUS)
        for origin, body in bodies.items():
            with suppress(BackupdError, UnknownFormat):
                one = _Found(body, read_description(body, self._keyring, is_encrypted=is_encrypted))
                await self.part_of(name).put(layout.REPOSITORY, body)
                self._found[name] = one
                return origin
        return None

    @property
    def target_names(self) -> list[str]:
        """The targets that are configured, in the order of the configuration."""
        return list(self._targets)

    async def existing(self, name: RepositoryName) -> Repository | None:
        """Return what a project has on one target; None when it has nothing there."""
        found = await self._find(name)
        return None if found is None else Repository(self.part_of(name), found.opened)

    def part_of(self, name: RepositoryName) -> Target:
        """Return a project's part of one target. ConfigError when it is not configured."""
        if not self.is_configured(name.target):
            known = ", ".join(sorted(self._targets)) or "none"
            raise ConfigError(f"target {name.target!r} is not in the configuration any more; it has {known}")
        return Prefix(self._targets[name.target], layout.prefix(name.project, is_encrypted=name.is_encrypted))

    def is_configured(self, target: str) -> bool:
        """Tell whether there is such a target now."""
        return target in self._targets

    async def index(self, repository: Repository, targets: Sequence[str]) -> ChunkIndex:
        """Return the index of the chunks of a repository that every one of ``targets`` has."""
        scope = hashlib.sha256(json.dumps(sorted(targets)).encode()).hexdigest()[:16]
        return await self._index(f"{repository.keys.repository_id.hex()}-{scope}")

    async def forget_pack(self, pack_id: bytes) -> None:
        """Let no index find what a pack holds, because it is lost or damaged on one target at least."""
        for path in await asyncio.to_thread(lambda: sorted(self._index_dir.glob("*.db"))):
            await asyncio.to_thread((await self._index(path.stem)).forget, [pack_id])

    async def forget_packs(self, repository_id: bytes, pack_ids: Sequence[bytes]) -> None:
        """Let no index of a repository find what some packs hold, because they go."""
        for path in await self._index_paths(repository_id):
            await asyncio.to_thread((await self._index(path.stem)).forget, pack_ids)

    async def tidy_indexes(self, repository_id: bytes) -> None:
        """Remove from the indexes of a repository what is of packs that were forgotten."""
        for path in await self._index_paths(repository_id):
            index = await self._index(path.stem)
            after: bytes | None = b""
            while after is not None:
                after = await asyncio.to_thread(index.tidy, after)

    async def _index_paths(self, repository_id: bytes) -> list[Path]:
        return await asyncio.to_thread(lambda: sorted(self._index_dir.glob(f"{repository_id.hex()}-*.db")))

    async def _index(self, name: str) -> ChunkIndex:
        async with self._lock(name):
            if name not in self._indexes:
                self._indexes[name] = await asyncio.to_thread(ChunkIndex, self._index_dir / f"{name}.db")
        return self._indexes[name]

    def close(self) -> None:
        """Release the indexes; the targets belong to the caller."""
        for index in self._indexes.values():
            index.close()
        self._indexes.clear()

    async def _find(self, name: RepositoryName) -> _Found | None:
        """Return what one target has, None if there is no repository on it."""
        async with self._lock(name):  # Others are not kept waiting.
            if name not in self._found:
                try:
                    body = await self.part_of(name).get(layout.REPOSITORY)
                except ObjectNotFound:
                    return None
                self._found[name] = _Found(body, read_description(body, self._keyring, is_encrypted=name.is_encrypted))
            return self._found[name]

    async def _find_now(self, name: RepositoryName) -> _Found | None:
        """Return what one target has now, None if it never had a repository. CorruptObject when it had.

        Who writes asks this, and learns early that a target is down or was emptied. RepositoryMismatch.
        """
        async with self._lock(name):
            known = self._found.get(name)
            if known is not None:
                try:
                    body = await self.part_of(name).get(layout.REPOSITORY)
                except ObjectNotFound:
                    raise CorruptObject(_LOST.format(target=name.target, when="had it")) from None
                if body != known.body:
                    now = read_description(body, self._keyring, is_encrypted=name.is_encrypted)
                    _check_alike({"this daemon": known, f"target {name.target}": _Found(body, now)})
                return known
        return await self._find(name)

    async def _begin(self, names: Sequence[RepositoryName], original: _Found | None) -> dict[str, _Found]:
        """Make what the project has elsewhere, or a new one, the repository on some targets of one project.

        One after the other, and also of targets that nobody asked for: two backups to two targets that both are a
        project's first would else begin two repositories, of which no target could ever be a copy of the other.
        """
        project, is_encrypted = names[0].project, names[0].is_encrypted
        async with self._lock(f"begin {layout.prefix(project, is_encrypted=is_encrypted)}"):
            for target in () if original is not None else self._targets:
                with suppress(BackupdError, TargetError, UnknownFormat):  # One that is down has no say.
                    original = original or await self._find(RepositoryName(project, target, is_encrypted))
            begun: dict[str, _Found] = {}
            for name in names:
                begun[name.target] = original = (
                    await self._create(name) if original is None else await self._copy(name, original)
                )
            return begun

    async def _create(self, name: RepositoryName) -> _Found:
        body = new_description(self._keyring, is_encrypted=name.is_encrypted, created_at=self._clock.now().isoformat())
        return await self._store(name, body)

    async def _copy(self, name: RepositoryName, original: _Found) -> _Found:
        return await self._store(name, original.body)

    async def _store(self, name: RepositoryName, body: bytes) -> _Found:
        with suppress(ObjectExists):  # Another worker was faster; theirs is the one.
            await self.part_of(name).put(layout.REPOSITORY, body, if_absent=True)
        found = await self._find(name)
        if found is None:
            raise CorruptObject(f"{layout.REPOSITORY} is lost: target {name.target} has just stored it")
        return found

    def _configured(self, targets: Sequence[str]) -> list[str]:
        """Return those of ``targets`` that are configured; if none is, all, so that somebody says so."""
        return [target for target in targets if target in self._targets] or [*targets]

    def _lock(self, opened: RepositoryName | str) -> asyncio.Lock:
        return self._locks.setdefault(opened, asyncio.Lock())


def _explain(failure: TargetError | CorruptObject, *, quorum: int, targets: Sequence[str], is_new: bool) -> None:
    if len(targets) > 1 and is_new:
        failure.add_note("no repository is made while a target cannot be asked whether it holds one")
    elif len(targets) > 1:
        failure.add_note(f"{quorum} of {', '.join(targets)} must get every backup")


def _check_alike(found: Mapping[str, _Found]) -> None:
    ids = {target: one.opened.keys.repository_id.hex() for target, one in found.items()}
    if len({*ids.values()}) > 1:
        listed = ", ".join(f"{target} has {repository_id}" for target, repository_id in ids.items())
        raise RepositoryMismatch(
            f"the targets hold different repositories of this project: {listed}\n"
            "HINT: a further copy needs a place of its own: give the target another prefix in its url"
        )
