"""The model: what each backup must hold, as plain bytes, and what has to be true of the service at every instant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, or_, select

from backupd.catalog import backups as backup_rows
from backupd.catalog.condition_tables import damages
from backupd.catalog.store import Catalog
from backupd.catalog.tables import attempts, backup_copies, backups, jobs
from backupd.model import AttemptState, Backup, BackupMode, BackupState, CopyState, JobState
from backupd.repository import layout
from backupd.repository.keyring import Keyring
from backupd.repository.manifest import Manifest
from backupd.simulation.guests import BLOCK_BYTES, Copy, Guest, digest
from backupd.simulation.reader import Chunk, Reader, Unreadable
from backupd.simulation.store import Store


class Violation(AssertionError):
    """The service broke a promise."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The catalog at one instant: the backups that are not deleted, which targets have all of each, known damage."""

    backups: Sequence[Backup]
    holders: Mapping[str, Sequence[str]]
    deleted: frozenset[str]
    damaged: frozenset[tuple[str, str]]

    @property
    def available(self) -> list[Backup]:
        return [backup for backup in self.backups if backup.state is BackupState.AVAILABLE]


class Model:
    """Compares what is stored with what guests wrote. Damage that was done on purpose is an excuse, if it is named."""

    def __init__(self, stores: Mapping[str, Store], guests: Mapping[str, Guest], keyring: Keyring) -> None:
        self._stores = stores
        self._guests = guests
        self._readers = {name: Reader(store, keyring) for name, store in stores.items()}
        self._compared: dict[tuple[str, str], tuple[object, int, frozenset[str]]] = {}
        self._known_damage: Collection[tuple[str, str]] = ()
        self._publishers: Counter[str] = Counter()
        self._broken: list[str] = []

    def published(self, backup: str, *, is_theirs: bool) -> None:
        """Note that a worker has made a backup available, and whether the job was its own to do."""
        self._publishers[backup] += 1
        if self._publishers[backup] > 1:
            self._broken.append(f"backup {backup} was published {self._publishers[backup]} times")
        if not is_theirs:
            self._broken.append(f"backup {backup} was published by a worker that had lost the job")

    async def check(self, catalog: Catalog, project: str) -> Seen:
        """Check all that must hold now, and return what the catalog says. Violation."""
        if self._broken:
            raise Violation("; ".join(self._broken))
        seen = await catalog._run(_look, project)  # noqa: SLF001 - one transaction, so that all is of one instant
        self._known_damage = seen.damaged
        for backup in seen.available:
            if backup.id not in seen.holders:
                raise Violation(f"backup {backup.id} is available, and no target is said to have all of it")
            for target in seen.holders[backup.id]:
                self.damage_of(backup, target)
        for name, store in self._stores.items():
            for key in store.keys("/" + layout.MANIFESTS):
                if key.rpartition("/")[2] in seen.deleted:
                    raise Violation(f"{key} is on target {name}, and that backup is deleted")
        return seen

    def content_of(self, backup: Backup, holders: Sequence[str]) -> Copy:
        """Return what a restore of a backup must give. Unreadable when the damage has reached its manifest."""
        error = Unreadable(layout.manifest(backup.id))
        for target in holders:
            try:
                return self._copy_of(backup, self._readers[target].read(backup)[0])
            except Unreadable as found:
                error = found
        raise error

    def damage_of(self, backup: Backup, target: str) -> frozenset[str]:
        """Return the keys of injected damage that a copy suffers from. Violation when anything else is wrong."""
        store, guest = self._stores[target], self._guests[backup.volume_id]
        try:
            read = self._readers[target].read(backup)
        except Unreadable as error:
            return frozenset([self._excused(backup, store, error.key)])
        known = self._compared.get((backup.id, target))
        if known is None or known[0] is not read or known[1] != len(guest.lied):
            damage = self._compare(backup, store, *read)
            known = self._compared[backup.id, target] = read, len(guest.lied), damage
        return known[2]

    def lied_about(self, backup: Backup) -> set[int]:
        """Return the blocks that a backup may have wrong, because a bitmap lied and nothing else was asked."""
        trusts = backup.mode is BackupMode.INCREMENTAL and backup.full_read_reason is None
        return self._guests[backup.volume_id].lied if trusts else set()

    def _compare(self, backup: Backup, store: Store, read: Manifest, chunks: Sequence[Chunk]) -> frozenset[str]:
        copy = self._copy_of(backup, read)
        if (read.size_bytes, backup.size_bytes) != (copy.size_bytes, copy.size_bytes):
            raise Violation(f"backup {backup.id} has {read.size_bytes} bytes, expected {copy.size_bytes}")
        per_chunk = read.chunk_size_bytes // BLOCK_BYTES
        wrong, damage = set(), set()
        zeros = {number // per_chunk for number in copy.blocks} - {chunk.number for chunk in chunks}
        for index in zeros:
            if any(copy.chunk(index, read.chunk_size_bytes)):
                wrong.add(index)
        for chunk in chunks:
            if chunk.unreadable:
                damage.add(self._excused(backup, store, chunk.unreadable))
            elif chunk.digest != digest(copy.chunk(chunk.number, read.chunk_size_bytes)):
                wrong.add(chunk.number)
        if unexplained := wrong - {block // per_chunk for block in self.lied_about(backup)}:
            raise Violation(f"backup {backup.id} on {store.name} is wrong in chunks {sorted(unexplained)}")
        return frozenset(damage)

    def _copy_of(self, backup: Backup, read: Manifest) -> Copy:
        return self._guests[backup.volume_id].copies[read.source_token]

    def _excused(self, backup: Backup, store: Store, key: str) -> str:
        is_known = key in store.mended and (store.name, key) in self._known_damage
        if key not in store.damaged and not is_known:
            raise Violation(f"backup {backup.id}, which is {backup.state}: {key} is lost or damaged on {store.name}")
        return key


_HOLDERS = select(backup_copies).where(backup_copies.c.state == CopyState.COMPLETE).order_by(backup_copies.c.target)
_DAMAGED = select(damages.c.target, damages.c.project, damages.c.is_encrypted, damages.c.key)
_GONE = select(backups.c.id).where(backups.c.state == BackupState.DELETED)
# More than one that holds a job or has done it, one that holds a job which is over, one that has done one which is not.
_WRONG_ATTEMPTS = (
    select(attempts.c.job_id, attempts.c.state, jobs.c.state.label("job_state"), func.count().label("attempt_count"))
    .join(jobs, attempts.c.job_id == jobs.c.id)
    .where(attempts.c.state.in_((AttemptState.RUNNING, AttemptState.SUCCEEDED)))
    .group_by(attempts.c.job_id, attempts.c.state)
    .having(
        or_(
            func.count() > 1,
            (attempts.c.state == AttemptState.RUNNING)
            == jobs.c.state.in_([state for state in JobState if state.is_final]),
        )
    )
)


def _look(connection: Connection, project: str) -> Seen:
    _check_attempts(connection)
    found = backup_rows.all_of(connection, project, None, include_deleted=False)
    holders: dict[str, list[str]] = {}
    for row in connection.execute(_HOLDERS):
        holders.setdefault(row.backup_id, []).append(row.target)
    damaged = frozenset(
        (row.target, layout.prefix(row.project, is_encrypted=row.is_encrypted) + row.key)
        for row in connection.execute(_DAMAGED)
    )
    return Seen(found, holders, frozenset(connection.execute(_GONE).scalars()), damaged)


def _check_attempts(connection: Connection) -> None:
    """Check that one attempt at most holds a job, and one at most has done it."""
    for row in connection.execute(_WRONG_ATTEMPTS):
        raise Violation(
            f"job {row.job_id} is {row.job_state} and has {row.attempt_count} attempts that are {row.state}"
        )
