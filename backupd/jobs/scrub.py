"""The scrub job: objects of a target read and inspected, those first that were not for the longest time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from backupd.condition import ScrubbedObject
from backupd.errors import BackupdError, CorruptObject, KeyMismatch
from backupd.jobs.locating import Locating, look_at_description
from backupd.jobs.recording import record
from backupd.jobs.repositories_of import RepositoryScope, opened, scopes
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import Job
from backupd.pipeline.inspection import Finding
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.scrub import Inspected, Scrub
from backupd.repository import layout
from backupd.repository.folders import pack_folders
from backupd.repository.repository import Repository
from chunker.errors import UnknownFormat
from targets.errors import ObjectNotFound

_PAGE_OBJECTS = 64
_LISTED_AT_ONCE = 1000
_NAMED_MAX = 3


@dataclass(slots=True)
class _Tally:
    """What one job has done. ``damaged``: whole key -> what is wrong with it."""

    objects: int = 0
    scrubbed_bytes: int = 0
    cleared: int = 0
    damaged: dict[str, str] = field(default_factory=dict)


class ScrubBody:
    """Runs scrub jobs. Started again it goes on: what it had scrubbed is not the oldest any more."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._catalog = resources.catalog
        self._condition = resources.catalog.condition

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Scrub so many bytes, then look which backups need what is damaged. CorruptObject names that.

        With keys, also what is lost is found: every object that a backup needs and the target does not have.
        """
        target, bytes_max, with_keys = (job.request[name] for name in ("target", "bytes_max", "with_keys"))
        run.progress = progress = ProgressMeter(self._resources.clock)
        started_at = job.started_at or self._resources.clock.now()
        tally = _Tally()
        there: list[tuple[RepositoryScope, Repository | None]] = []
        for scope in scopes(self._resources.repositories, job.project, target):
            size_bytes = await list_objects(self._resources, scope)
            if size_bytes or await self._has_known_damage(scope):
                progress.total_bytes += size_bytes
                there.append((scope, await self._open(scope) if with_keys else None))
        if bytes_max is not None:
            progress.total_bytes = min(progress.total_bytes, bytes_max)
        await self._scrub(there, tally, progress, bytes_max=bytes_max, before=started_at, with_keys=with_keys)
        for scope, repository in there:
            tally.damaged.update(await look_at_description(self._resources, scope))
            if repository is not None:
                tally.damaged.update(await Locating(self._resources, scope, repository).run())
        progress.total_bytes = progress.done_bytes
        await self._condition.store_result(job.id, job.fence, _result(tally, target, with_keys=with_keys))
        if tally.damaged:
            raise _damaged(target, tally.damaged)

    async def _has_known_damage(self, scope: RepositoryScope) -> bool:
        found = await self._condition.damages(
            scope.project, target=scope.target, is_encrypted=scope.is_encrypted, limit=1
        )
        return bool(found) or bool(
            await self._condition.holding(scope.project, scope.target, is_encrypted=scope.is_encrypted)
        )

    async def _open(self, scope: RepositoryScope) -> Repository | None:
        """Return the repository, None when no copy of what it says about itself is sound: then no key is known."""
        others = sorted(await self._catalog.holders(scope.project, is_encrypted=scope.is_encrypted))
        try:
            return await opened(self._resources.repositories, scope, others)
        except (CorruptObject, KeyMismatch, UnknownFormat):
            return None

    async def _scrub(
        self,
        there: Sequence[tuple[RepositoryScope, Repository | None]],
        tally: _Tally,
        progress: ProgressMeter,
        *,
        bytes_max: int | None,
        before: datetime,
        with_keys: bool,
    ) -> None:
        if not there:
            return
        target, project = there[0][0].target, f"{there[0][0].project}/"
        done_bytes = await self._condition.scrubbed_bytes(target, project, since=before)
        budget = self._resources.budget()
        while bytes_max is None or done_bytes < bytes_max:
            page = await self._condition.oldest(target, project, before=before, limit=_PAGE_OBJECTS)
            chosen = _within(page, None if bytes_max is None else bytes_max - done_bytes)
            if not chosen:
                return
            done_bytes += sum(one.size_bytes for one in chosen)
            for scope, repository in there:
                keys = [one.key.removeprefix(scope.prefix) for one in chosen if one.key.startswith(scope.prefix)]
                scrub = Scrub(
                    scope.store, repository, workers=self._resources.workers, budget=budget, progress=progress
                )
                pending = set(keys)
                recorder = _Recorder(self._resources, scope, tally, pending, with_keys=with_keys)
                await scrub.run(_each(keys), recorder)
                for key in pending:  # Gone since it was listed: there is nothing to be scrubbed.
                    await self._condition.scrubbed(scope, key, self._resources.clock.now(), [])


class _Recorder:
    """Writes down what became of each object."""

    def __init__(
        self,
        resources: Resources,
        scope: RepositoryScope,
        tally: _Tally,
        pending: set[str],
        *,
        with_keys: bool,
    ) -> None:
        self._resources = resources
        self._scope = scope
        self._with_keys = with_keys
        self._tally = tally
        self._pending = pending

    async def __call__(self, inspected: Inspected) -> None:
        findings = inspected.findings
        if inspected.key == layout.REPOSITORY and self._with_keys and not findings:
            findings = await self._check_description()
        size_bytes = inspected.size_bytes
        before = await record(self._resources, self._scope, inspected.key, findings, size_bytes=size_bytes)
        self._pending.discard(inspected.key)
        self._tally.objects += 1
        self._tally.scrubbed_bytes += inspected.size_bytes
        if findings:
            self._tally.damaged[self._scope.prefix + inspected.key] = findings[0].message
        else:
            self._tally.cleared += before

    async def _check_description(self) -> list[Finding]:
        scope = self._scope
        try:
            await self._resources.repositories.check_description(
                scope.project, scope.target, is_encrypted=scope.is_encrypted
            )
        except (BackupdError, UnknownFormat) as error:
            return [Finding(str(error))]
        return []


async def list_objects(resources: Resources, scope: RepositoryScope) -> int:
    """Bring the catalog in line with what the target has, a folder at a time; return how many bytes that is."""
    condition = resources.catalog.condition
    folders = [layout.FORWARDS, layout.MANIFESTS, *await pack_folders(scope.store)]
    total = 0
    first, sizes = folders[0], dict[str, int]()
    for folder in folders:
        async for info in scope.store.list(folder):
            sizes[scope.prefix + info.key] = info.size_bytes
            total += info.size_bytes
        # Several small folders in one go, each of which would cost a transaction otherwise.
        if len(sizes) >= _LISTED_AT_ONCE or folder == folders[-1] or folder == layout.MANIFESTS:
            await condition.note_objects(scope.target, scope.prefix + first, scope.prefix + folder, sizes)
            first, sizes = f"{folder}\x7f", {}
    key = scope.prefix + layout.REPOSITORY
    try:
        sizes = {key: (await scope.store.head(layout.REPOSITORY)).size_bytes}
    except ObjectNotFound:
        sizes = {}
    await condition.note_objects(scope.target, key, key, sizes)
    return total + sum(sizes.values())


def _within(page: Sequence[ScrubbedObject], bytes_max: int | None) -> list[ScrubbedObject]:
    """Return the first objects up to so many bytes, the last of them reaching beyond."""
    chosen: list[ScrubbedObject] = []
    for one in page:
        if bytes_max is not None and bytes_max <= 0:
            break
        chosen.append(one)
        bytes_max = None if bytes_max is None else bytes_max - one.size_bytes
    return chosen


async def _each(keys: Sequence[str]) -> AsyncIterator[str]:
    for key in keys:
        yield key


def _result(tally: _Tally, target: str, *, with_keys: bool) -> dict[str, object]:
    return {
        "target": target,
        "with_keys": with_keys,
        "objects": tally.objects,
        "scrubbed_bytes": tally.scrubbed_bytes,
        "damaged_objects": len(tally.damaged),
        "cleared_damages": tally.cleared,
    }


def _damaged(target: str, damaged: dict[str, str]) -> CorruptObject:
    named = [f"{key}: {message}" for key, message in sorted(damaged.items())[:_NAMED_MAX]]
    others = f"\nand {len(damaged) - _NAMED_MAX} more" if len(damaged) > _NAMED_MAX else ""
    return CorruptObject(
        f"target {target}: {len(damaged)} objects are damaged or lost: "
        + "\n".join(named)
        + others
        + f"\nHINT: backupctl damage list --target {target}; backupctl repair create {target}"
    )
