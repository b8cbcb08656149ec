"""The repair job: what is damaged on a target, made whole from where it still is.

An object is replaced by one ``put`` of its key, which every target does as a whole or not at all: whoever reads
meanwhile finds what was there or what is right. A crash leaves nothing half done, and the next repair goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from backupd.errors import BackupdError, CorruptObject, KeyMismatch
from backupd.jobs.locating import Locating
from backupd.jobs.mending import PackMending
from backupd.jobs.recording import record
from backupd.jobs.repositories_of import RepositoryScope, opened, scopes
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import Job
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.scrub import Scrub
from backupd.repository import layout
from backupd.repository.repository import Repository
from chunker.errors import UnknownFormat
from targets.errors import TargetError

_DAMAGES_MAX = 10_000
_NAMED_MAX = 3
_NO_COPY = "no target has a copy that is right"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Tally:
    """Whole keys: what is right again, and why something is not."""

    repaired: list[str] = field(default_factory=list)
    clean: list[str] = field(default_factory=list)
    unrepaired: dict[str, str] = field(default_factory=dict)


class RepairBody:
    """Runs repair jobs."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._catalog = resources.catalog
        self._condition = resources.catalog.condition

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Repair what can be; CorruptObject names what cannot, and the backups that need it stay damaged."""
        target = job.request["target"]
        run.progress = progress = ProgressMeter(self._resources.clock)
        tally = _Tally()
        for scope in scopes(self._resources.repositories, job.project, target):
            tried: set[str] = set()
            while keys := [key for key in await self._damaged_keys(scope) if key not in tried]:
                tried.update(keys)
                await self._repair(scope, keys, tally, progress)
        result = {
            "target": target,
            "repaired": tally.repaired,
            "found_clean": tally.clean,
            "unrepaired": [{"key": key, "reason": reason} for key, reason in tally.unrepaired.items()],
        }
        await self._condition.store_result(job.id, job.fence, result)
        if tally.unrepaired:
            raise _unrepaired(target, tally.unrepaired)

    async def _repair(self, scope: RepositoryScope, keys: list[str], tally: _Tally, progress: ProgressMeter) -> None:
        """Repair some objects, and look what else is damaged: what is below a lost root is known only then."""
        others = await self._others(scope)
        if layout.REPOSITORY in keys:  # First: with the keys all the rest can be told right from wrong.
            keys.remove(layout.REPOSITORY)
            await self._description(scope, tally)
        try:
            repository = await opened(self._resources.repositories, scope, [*others])
        except (CorruptObject, KeyMismatch, UnknownFormat) as error:
            tally.unrepaired.update({scope.prefix + key: str(error) for key in keys})
            return
        budget = self._resources.budget()
        scrub = Scrub(scope.store, repository, workers=self._resources.workers, budget=budget, progress=progress)
        packs = []
        for key in keys:
            if await self._is_clean(scope, scrub, key):
                tally.clean.append(scope.prefix + key)
            elif (pack_id := layout.pack_id(key)) is not None:
                packs.append(pack_id)
            else:
                is_copied = await self._copy_manifest(scope, repository, [*others.values()], key)
                await self._end(scope, scrub, key, tally, None if is_copied else _NO_COPY)
        mending = PackMending(self._resources, scope, repository.through(scope.store), [*others.values()], budget)
        async for pack_id, reason in mending.run(packs):
            await self._end(scope, scrub, layout.pack(pack_id), tally, reason)
        await Locating(self._resources, scope, repository).run()

    async def _damaged_keys(self, scope: RepositoryScope) -> list[str]:
        damages = await self._condition.damages(
            scope.project, target=scope.target, is_encrypted=scope.is_encrypted, limit=_DAMAGES_MAX
        )
        return list(dict.fromkeys(damage.key for damage in damages))

    async def _others(self, scope: RepositoryScope) -> dict[str, Repository]:
        """Return the copies of the repository on other targets that answer."""
        holders = await self._catalog.holders(scope.project, is_encrypted=scope.is_encrypted)
        found: dict[str, Repository] = {}
        for target in sorted(holders - {scope.target}):
            try:
                found[target] = await self._resources.repositories.open(
                    scope.project, [target], is_encrypted=scope.is_encrypted
                )
            except (TargetError, BackupdError, UnknownFormat) as error:
                _log.warning("target %s has no copy that could be read: %s", target, error)
        return found

    async def _is_clean(self, scope: RepositoryScope, scrub: Scrub, key: str) -> bool:
        inspected = await scrub.inspect(key)
        if inspected is None or inspected.findings:
            return False
        await record(self._resources, scope, key, [], size_bytes=inspected.size_bytes)
        return True

    async def _end(self, scope: RepositoryScope, scrub: Scrub, key: str, tally: _Tally, reason: str | None) -> None:
        """Write down what an object is now, whatever was meant to be done with it."""
        inspected = await scrub.inspect(key)
        if inspected is not None:
            await record(self._resources, scope, key, inspected.findings, size_bytes=inspected.size_bytes)
        if inspected is None or inspected.findings:
            tally.unrepaired[scope.prefix + key] = reason or "it was stored anew, and is not right again"
        else:
            tally.repaired.append(scope.prefix + key)

    async def _copy_manifest(
        self, scope: RepositoryScope, repository: Repository, others: Sequence[Repository], key: str
    ) -> bool:
        backup_id = layout.backup_id(key)
        for other in others if backup_id is not None else ():
            try:
                if await other.manifest(str(backup_id)) is None:
                    continue
                body = await other.target.get(key)
            except (TargetError, BackupdError, UnknownFormat):
                continue
            if other.keys.repository_id == repository.keys.repository_id:
                await scope.store.put(key, body)
                return True
        return False

    async def _description(self, scope: RepositoryScope, tally: _Tally) -> None:
        key = scope.prefix + layout.REPOSITORY
        holders = await self._catalog.holders(scope.project, is_encrypted=scope.is_encrypted)
        repositories = self._resources.repositories
        origin = await repositories.mend_description(
            scope.project, scope.target, sorted(holders), is_encrypted=scope.is_encrypted
        )
        if origin is None:
            tally.unrepaired[key] = _NO_COPY
            return
        _log.warning("%s on target %s: stored anew from %s", key, scope.target, origin)
        await record(self._resources, scope, layout.REPOSITORY, [])
        tally.repaired.append(key)


def _unrepaired(target: str, unrepaired: dict[str, str]) -> CorruptObject:
    named = [f"{key}: {reason}" for key, reason in sorted(unrepaired.items())[:_NAMED_MAX]]
    others = f"\nand {len(unrepaired) - _NAMED_MAX} more" if len(unrepaired) > _NAMED_MAX else ""
    return CorruptObject(
        f"target {target}: {len(unrepaired)} objects cannot be repaired: "
        + "\n".join(named)
        + others
        + "\nHINT: what is left of their backups can be restored: backupctl restore create ID --allow-damaged"
    )
