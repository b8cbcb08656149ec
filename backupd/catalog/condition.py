"""The part of the catalog that knows the condition of what is stored; each method is one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select, update

from backupd.catalog import rows
from backupd.catalog.condition_tables import damaged_backups, damages, job_results, scrubs, verifications
from backupd.catalog.jobs import require_fence
from backupd.catalog.run import Run
from backupd.catalog.tables import backup_copies, backups
from backupd.condition import AffectedBackup, Damage, ScrubbedObject, Verification
from backupd.model import BackupState, CopyState, Failure

_IDS_PER_QUERY = 500


class Condition:
    """``run`` runs a function of a connection as one transaction."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def store_verification(self, value: Verification, *, job_id: str, fence: int) -> None:
        """Keep the last verification of a backup. LeaseLost."""
        await self._run(_store_verification, value, job_id, fence)

    async def verification(self, backup_id: str) -> Verification | None:
        """Return the last full verification of a backup."""
        found = await self._run(_verifications, verifications.c.backup_id == backup_id)
        return found.get(backup_id)

    async def verifications(self, project: str) -> dict[str, Verification]:
        """Return the last verification of each backup of a project, by backup."""
        of_project = select(backups.c.id).where(backups.c.project == project)
        return await self._run(_verifications, verifications.c.backup_id.in_(of_project))

    async def store_result(self, job_id: str, fence: int, result: Mapping[str, Any]) -> None:
        """Keep what a job has to tell beside how it ended. LeaseLost."""
        await self._run(_store_result, job_id, fence, result)

    async def result(self, job_id: str) -> dict[str, Any] | None:
        """Return what a job had to tell."""
        return await self._run(
            lambda connection: connection.execute(
                select(job_results.c.result).where(job_results.c.job_id == job_id)
            ).scalar()
        )

    async def note_objects(self, target: str, first: str, last: str, sizes: Mapping[str, int]) -> None:
        """Bring what is known of the objects from folder ``first`` to ``last`` in line with a listing: key -> size."""
        await self._run(_note_objects, target, first, last, sizes)

    async def sizes(self, target: str, keys: Sequence[str]) -> dict[str, int]:
        """Return the sizes of those of ``keys`` that the last listing showed."""
        return await self._run(_sizes, target, keys)

    async def oldest(self, target: str, prefix: str, *, before: datetime, limit: int) -> list[ScrubbedObject]:
        """Return what was scrubbed before that or never, the oldest first and what never was in front."""
        return await self._run(_oldest, target, prefix, before, limit)

    async def scrubbed_bytes(self, target: str, prefix: str, *, since: datetime) -> int:
        """Return how much was scrubbed since then."""
        return await self._run(_scrubbed_bytes, target, prefix, since)

    async def listed_bytes(self, target: str, prefix: str) -> int:
        """Return how much the last listing showed."""
        query = select(func.coalesce(func.sum(scrubs.c.size_bytes), 0))
        mine = query.where(scrubs.c.target == target, _starts_with(prefix))
        found: int = await self._run(lambda connection: int(connection.execute(mine).scalar_one()))
        return found

    async def scrubbed(
        self, scope: Scope, key: str, at: datetime, found: Sequence[Damage], *, size_bytes: int | None = None
    ) -> int:
        """Write down that an object was scrubbed, and what is wrong with it now; return what was wrong before.

        ``key`` is the object's within its repository. Clean objects have no damage any more. ``size_bytes`` is what it
        has, if it is there.
        """
        return await self._run(_scrubbed, scope, key, at, found, size_bytes)

    async def add_damages(self, found: Sequence[Damage]) -> None:
        """Write down damage of objects, such as those that are lost."""
        await self._run(_add_damages, found)

    async def clear(self, scope: Scope, key: str) -> int:
        """Forget what was wrong with an object, because it is repaired or needed no more; return how much that was."""
        return await self._run(_clear, scope, key)

    async def suspect(self, targets: Collection[str], keys: Collection[str]) -> None:
        """Let objects be the first to be scrubbed, because a job failed of them; ``keys`` are the whole ones."""
        suspected = update(scrubs).where(scrubs.c.target.in_(targets), scrubs.c.key.in_(keys))
        await self._run(lambda connection: connection.execute(suspected.values(scrubbed_at=None)) and None)

    async def locate(self, damage_id: str, found: Mapping[str, Sequence[tuple[int, int]]]) -> None:
        """Write down which ranges of which backups need what is damaged."""
        await self._run(_locate, damage_id, found)

    async def damages(
        self,
        project: str,
        *,
        target: str | None = None,
        backup_id: str | None = None,
        is_encrypted: bool | None = None,
        key: str | None = None,
        limit: int = 1000,
    ) -> list[Damage]:
        """Return what is damaged, by target and key."""
        wanted = [damages.c.project == project]
        if target is not None:
            wanted.append(damages.c.target == target)
        if is_encrypted is not None:
            wanted.append(damages.c.is_encrypted == is_encrypted)
        if key is not None:
            wanted.append(damages.c.key == key)
        if backup_id is not None:
            of_backup = select(damaged_backups.c.damage_id).where(damaged_backups.c.backup_id == backup_id)
            wanted.append(damages.c.id.in_(of_backup))
        return await self._run(_damages, and_(*wanted), limit)

    async def affected(self, damage_ids: Sequence[str]) -> list[AffectedBackup]:
        """Return which backups that are available need what is damaged."""
        return await self._run(_affected, damage_ids)

    async def holding(self, project: str, target: str, *, is_encrypted: bool) -> dict[str, int]:
        """Return the available backups that a target has all of, and how large their volumes are."""
        return await self._run(_holding, project, target, is_encrypted)

    async def damaged_backups(self, project: str) -> set[str]:
        """Return the backups of which some target has not everything as it should be."""
        query = select(damaged_backups.c.backup_id).join(backups).where(backups.c.project == project).distinct()
        return await self._run(lambda connection: set(connection.execute(query).scalars()))

    async def damaged_keys(self, project: str, targets: Collection[str], *, is_encrypted: bool) -> set[str]:
        """Return the keys of objects that are damaged or lost on any of ``targets``."""
        query = select(damages.c.key).where(
            damages.c.project == project, damages.c.target.in_(targets), damages.c.is_encrypted == is_encrypted
        )
        return await self._run(lambda connection: set(connection.execute(query).scalars()))


class Scope(Protocol):
    """Which repository on which target; ``prefix`` is where it lives there."""

    @property
    def target(self) -> str: ...
    @property
    def project(self) -> str: ...
    @property
    def is_encrypted(self) -> bool: ...
    @property
    def prefix(self) -> str: ...


def _store_verification(connection: Connection, value: Verification, job_id: str, fence: int) -> None:
    require_fence(connection, job_id, fence)
    connection.execute(delete(verifications).where(verifications.c.backup_id == value.backup_id))
    fields = {"backup_id": value.backup_id, "verified_at": value.verified_at, "target": value.target}
    connection.execute(insert(verifications).values(fields | rows.from_failure(value.failure)))


def _verifications(connection: Connection, wanted: Any) -> dict[str, Verification]:
    found = connection.execute(select(verifications).where(wanted))
    return {row.backup_id: _verification(row) for row in found}


def _verification(row: Row[Any]) -> Verification:
    failure = None if row.failure_code is None else Failure(row.failure_code, row.failure_message)
    return Verification(row.backup_id, row.verified_at, row.target, failure)


def _store_result(connection: Connection, job_id: str, fence: int, result: Mapping[str, Any]) -> None:
    require_fence(connection, job_id, fence)
    connection.execute(delete(job_results).where(job_results.c.job_id == job_id))
    connection.execute(insert(job_results).values(job_id=job_id, result=dict(result)))


def _note_objects(connection: Connection, target: str, first: str, last: str, sizes: Mapping[str, int]) -> None:
    below = and_(scrubs.c.target == target, scrubs.c.key >= first, scrubs.c.key < f"{last}\x7f")
    known = {
        row.key: row.size_bytes for row in connection.execute(select(scrubs.c.key, scrubs.c.size_bytes).where(below))
    }
    gone = [key for key in known if key not in sizes]
    for some in _batches(gone):
        connection.execute(delete(scrubs).where(scrubs.c.target == target, scrubs.c.key.in_(some)))
    fresh = [{"target": target, "key": key, "size_bytes": size} for key, size in sizes.items() if key not in known]
    if fresh:
        connection.execute(insert(scrubs), fresh)
    for key, size in sizes.items():
        if known.get(key, size) != size:
            mine = and_(scrubs.c.target == target, scrubs.c.key == key)
            connection.execute(update(scrubs).where(mine).values(size_bytes=size, scrubbed_at=None))


def _starts_with(prefix: str) -> Any:
    # A range, which the index of the primary key serves; keys are ASCII.
    return and_(scrubs.c.key >= prefix, scrubs.c.key < f"{prefix}\x7f")


def _sizes(connection: Connection, target: str, keys: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in _batches(keys):
        query = select(scrubs.c.key, scrubs.c.size_bytes).where(scrubs.c.target == target, scrubs.c.key.in_(some))
        found.update({row.key: row.size_bytes for row in connection.execute(query)})
    return found


def _oldest(connection: Connection, target: str, prefix: str, before: datetime, limit: int) -> list[ScrubbedObject]:
    is_old = or_(scrubs.c.scrubbed_at.is_(None), scrubs.c.scrubbed_at < before)
    query = (
        select(scrubs.c.key, scrubs.c.size_bytes)
        .where(scrubs.c.target == target, is_old, _starts_with(prefix))
        .order_by(scrubs.c.scrubbed_at.nulls_first(), scrubs.c.key)
        .limit(limit)
    )
    return [ScrubbedObject(row.key, row.size_bytes) for row in connection.execute(query)]


def _scrubbed_bytes(connection: Connection, target: str, prefix: str, since: datetime) -> int:
    mine = and_(scrubs.c.target == target, scrubs.c.scrubbed_at >= since, _starts_with(prefix))
    return int(connection.execute(select(func.coalesce(func.sum(scrubs.c.size_bytes), 0)).where(mine)).scalar_one())


def _scrubbed(
    connection: Connection, scope: Scope, key: str, at: datetime, found: Sequence[Damage], size_bytes: int | None
) -> int:
    mine = and_(scrubs.c.target == scope.target, scrubs.c.key == scope.prefix + key)
    values = {"scrubbed_at": at} | ({} if size_bytes is None else {"size_bytes": size_bytes})
    connection.execute(update(scrubs).where(mine).values(**values))
    before = _clear(connection, scope, key)
    _add_damages(connection, found)
    return before


def _add_damages(connection: Connection, found: Sequence[Damage]) -> None:
    if found:
        connection.execute(insert(damages), [asdict(one) for one in found])


def _clear(connection: Connection, scope: Scope, key: str) -> int:
    mine = and_(
        damages.c.target == scope.target,
        damages.c.project == scope.project,
        damages.c.is_encrypted == scope.is_encrypted,
        damages.c.key == key,
    )
    of_mine = select(damages.c.id).where(mine)
    connection.execute(delete(damaged_backups).where(damaged_backups.c.damage_id.in_(of_mine)))
    return connection.execute(delete(damages).where(mine)).rowcount


def _locate(connection: Connection, damage_id: str, found: Mapping[str, Sequence[tuple[int, int]]]) -> None:
    connection.execute(delete(damaged_backups).where(damaged_backups.c.damage_id == damage_id))
    if connection.execute(select(damages.c.id).where(damages.c.id == damage_id)).first() is None:
        return
    known = connection.execute(select(backups.c.id).where(backups.c.id.in_(list(found)))).scalars()
    values = [{"damage_id": damage_id, "backup_id": one, "ranges": [list(r) for r in found[one]]} for one in known]
    if values:
        connection.execute(insert(damaged_backups), values)


def _damages(connection: Connection, wanted: Any, limit: int) -> list[Damage]:
    query = select(damages).where(wanted).order_by(damages.c.target, damages.c.key, damages.c.offset).limit(limit)
    return [Damage(**row._asdict()) for row in connection.execute(query)]


def _holding(connection: Connection, project: str, target: str, is_encrypted: bool) -> dict[str, int]:  # noqa: FBT001 - as the catalog runs it
    query = (
        select(backups.c.id, backups.c.size_bytes)
        .join(backup_copies, backup_copies.c.backup_id == backups.c.id)
        .where(
            backups.c.project == project,
            backups.c.is_encrypted == is_encrypted,
            backups.c.state == BackupState.AVAILABLE,
            backup_copies.c.target == target,
            backup_copies.c.state == CopyState.COMPLETE,
        )
    )
    return {row.id: row.size_bytes for row in connection.execute(query)}


def _affected(connection: Connection, damage_ids: Sequence[str]) -> list[AffectedBackup]:
    found: list[AffectedBackup] = []
    for some in _batches(damage_ids):
        query = (
            select(damaged_backups)
            .join(backups)
            .where(damaged_backups.c.damage_id.in_(some), backups.c.state == BackupState.AVAILABLE)
            .order_by(damaged_backups.c.damage_id, backups.c.created_at)
        )
        found.extend(_affected_backup(row) for row in connection.execute(query))
    return found


def _affected_backup(row: Row[Any]) -> AffectedBackup:
    return AffectedBackup(row.damage_id, row.backup_id, tuple((offset, length) for offset, length in row.ranges))


def _batches(keys: Sequence[str]) -> list[Sequence[str]]:
    return [keys[first : first + _IDS_PER_QUERY] for first in range(0, len(keys), _IDS_PER_QUERY)]
