"""What is condemned in a repository on a target. Each function is part of one transaction (docs/collection.md)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, insert, or_, select, update

from backupd.catalog import epochs, groups
from backupd.catalog.collection_tables import collection_epochs, condemned, job_epochs
from backupd.catalog.jobs import SHORT_REQUEST
from backupd.catalog.tables import backup_copies, backups, job_packs, jobs
from backupd.collection import Condemned, CondemnedKind, Reason
from backupd.model import UNFINISHED, BackupState, CopyState, JobKind, JobState, RepositoryName

_OURS = (CondemnedKind.PACK, CondemnedKind.FORWARD)
_UNRELIABLE = (*_OURS, CondemnedKind.FOREIGN)
_ABANDONED = (JobState.FAILED, JobState.CANCELLED)
_MINE = and_(
    condemned.c.project == bindparam("of_project"),
    condemned.c.target == bindparam("of_target"),
    condemned.c.is_encrypted == bindparam("of_is_encrypted"),
    condemned.c.kind == bindparam("of_kind"),
    condemned.c.pack_id == bindparam("of_pack"),
)
_TAKE = update(condemned).where(_MINE).values(is_going=True)
_REPRIEVE = delete(condemned).where(_MINE, condemned.c.is_going.is_(False))
_FORGET = delete(condemned).where(_MINE)
_FORGET_PACK = delete(job_packs).where(job_packs.c.pack_id == bindparam("wanted"))


class Root(NamedTuple):
    """A backup that may have a manifest. ``is_expected``: as far as one knows it has one here."""

    backup_id: str
    is_expected: bool
    is_deleting: bool


class Snapshot(NamedTuple):
    """What the catalog says at one instant: the jobs that may still rely on what is condemned, and the roots."""

    waiting_for: list[str]
    roots: list[Root]


def condemn(connection: Connection, name: RepositoryName, values: Collection[Condemned]) -> None:
    """Let nobody who looks from now on rely on these; no job need know of it before ``seal``."""
    rows = [
        {
            **_columns(name),
            "kind": one.kind,
            "pack_id": one.pack_id.hex(),
            "reason": one.reason,
            "size_bytes": one.size_bytes,
            "is_going": False,
        }
        for one in values
    ]
    if rows:
        connection.execute(insert(condemned), rows)


def seal(connection: Connection, name: RepositoryName) -> int:
    """Begin the epoch from which on each job knows of all that is condemned; return it."""
    epoch = epochs.advance(connection)
    connection.execute(delete(collection_epochs).where(_of(collection_epochs, name)))
    connection.execute(insert(collection_epochs).values(**_columns(name), epoch=epoch))
    return epoch


def sealed_epoch(connection: Connection, name: RepositoryName) -> int | None:
    """Return the epoch of the condemnation that is under way."""
    query = select(collection_epochs.c.epoch).where(_of(collection_epochs, name))
    return connection.execute(query).scalar()


def pending(connection: Connection) -> list[tuple[RepositoryName, int]]:
    """Return every condemnation that is under way, with its epoch."""
    table = collection_epochs
    query = select(table.c.project, table.c.target, table.c.is_encrypted, table.c.epoch)
    return [(RepositoryName(*fields), epoch) for *fields, epoch in connection.execute(query)]


def has_any(connection: Connection, names: Collection[RepositoryName]) -> bool:
    """Tell whether anything is condemned in repositories, by whomever."""
    is_there = and_(or_(*(_of(condemned, one) for one in names)), condemned.c.kind.in_(_UNRELIABLE))
    query = select(condemned.c.kind).where(is_there).limit(1)
    return connection.execute(query).first() is not None


def among(
    connection: Connection, names: Collection[RepositoryName], kinds: Collection[CondemnedKind], ids: Collection[bytes]
) -> set[bytes]:
    """Return those of ``ids`` that are condemned in any of the repositories."""
    query = select(condemned.c.pack_id).where(
        condemned.c.pack_id.in_([one.hex() for one in ids]),
        condemned.c.kind.in_(kinds),
        or_(*(_of(condemned, one) for one in names)),
    )
    return {bytes.fromhex(found) for found in connection.execute(query).scalars()}


def page(
    connection: Connection,
    name: RepositoryName,
    after: Condemned | None,
    limit: int,
    kinds: Collection[CondemnedKind] = _OURS,
) -> list[Condemned]:
    """Return some of what the daemons of this catalog have condemned, by kind and id, behind ``after``."""
    query = select(condemned).where(_of(condemned, name), condemned.c.kind.in_(kinds))
    if after is not None:
        is_same_kind = and_(condemned.c.kind == after.kind, condemned.c.pack_id > after.pack_id.hex())
        query = query.where(or_(condemned.c.kind > after.kind, is_same_kind))
    return _read(connection, query.order_by(condemned.c.kind, condemned.c.pack_id).limit(limit))


def going(connection: Connection, name: RepositoryName, limit: int) -> list[Condemned]:
    """Return some of what was to be deleted when somebody died."""
    return _read(connection, select(condemned).where(_of(condemned, name), condemned.c.is_going).limit(limit))


def take(connection: Connection, name: RepositoryName, values: Sequence[Condemned]) -> list[Condemned]:
    """Pass the point of no return with those of ``values`` that are condemned still, and return them."""
    return [one for one in values if connection.execute(_TAKE, _key(name, one)).rowcount]


def reprieve(connection: Connection, name: RepositoryName, values: Collection[Condemned]) -> None:
    """Let those be relied on again that are not on their way out."""
    if values:
        connection.execute(_REPRIEVE, [_key(name, one) for one in values])


def rescue(connection: Connection, name: RepositoryName, ids: Collection[bytes]) -> bool:
    """Reprieve packs because they are needed after all; tell whether none of them is on its way out already.

    Who asks is a job that knows of this condemnation, and is waited for by the next one.
    """
    mine = and_(_of(condemned, name), condemned.c.kind.in_(_OURS), condemned.c.pack_id.in_([one.hex() for one in ids]))
    if connection.execute(select(condemned.c.pack_id).where(mine, condemned.c.is_going)).first() is not None:
        return False
    connection.execute(delete(condemned).where(mine))
    return True


def forget(connection: Connection, name: RepositoryName, values: Collection[Condemned]) -> None:
    """Forget what was deleted, and which jobs had stored it."""
    if values:
        connection.execute(_FORGET, [_key(name, one) for one in values])
    if packs := [{"wanted": one.pack_id.hex()} for one in values if one.kind is CondemnedKind.PACK]:
        connection.execute(_FORGET_PACK, packs)
    if forwards := [one for one in values if one.kind is CondemnedKind.FORWARD]:
        connection.execute(_FORGET, [_key(name, one) | {"of_kind": CondemnedKind.MOVED} for one in forwards])


def note_moved(connection: Connection, name: RepositoryName, ids: Collection[bytes]) -> None:
    """Remember packs that are compacted away, until their forwards are forgotten."""
    known = among(connection, [name], [CondemnedKind.MOVED], ids)
    condemn(connection, name, [Condemned(CondemnedKind.MOVED, one, Reason.MOSTLY_DEAD, 0) for one in {*ids} - known])


def end(connection: Connection, name: RepositoryName) -> None:
    """Forget a condemnation that is carried out."""
    connection.execute(delete(collection_epochs).where(_of(collection_epochs, name)))


def adopt(connection: Connection, name: RepositoryName, ids: Collection[bytes]) -> None:
    """Remember, instead of what was known, what others have condemned."""
    connection.execute(delete(condemned).where(_of(condemned, name), condemned.c.kind == CondemnedKind.FOREIGN))
    condemn(connection, name, [Condemned(CondemnedKind.FOREIGN, one, Reason.FOREIGN, 0) for one in {*ids}])


def note_leavings(connection: Connection, name: RepositoryName, digests: Collection[str]) -> set[str]:
    """Note which leavings there are now; return those that were there before, and that no unfinished job has begun."""
    mine = and_(_of(condemned, name), condemned.c.kind == CondemnedKind.LEAVING)
    query = select(condemned.c.pack_id, condemned.c.epoch).where(mine)
    known = {row.pack_id: row.epoch for row in connection.execute(query)}
    for gone in known.keys() - {*digests}:
        connection.execute(delete(condemned).where(mine, condemned.c.pack_id == gone))
    if new := {*digests} - known.keys():
        condemn_all = insert(condemned).values(
            **_columns(name),
            kind=CondemnedKind.LEAVING,
            reason=Reason.ORPHAN,
            size_bytes=0,
            is_going=False,
            epoch=epochs.advance(connection),
            pack_id=bindparam("digest"),
        )
        connection.execute(condemn_all, [{"digest": digest} for digest in sorted(new)])
    free = {epoch for epoch in {*known.values()} if not waiting_for(connection, name, epoch)}
    return {digest for digest in digests if known.get(digest) in free}


def waiting_for(connection: Connection, name: RepositoryName, epoch: int) -> list[str]:
    """Return the unfinished jobs that may rely on what was condemned in ``epoch``."""
    query = (
        select(jobs.c.id, jobs.c.kind, SHORT_REQUEST, backups)
        .select_from(jobs)
        .join(job_epochs, job_epochs.c.job_id == jobs.c.id)
        .join(backups, groups.are_of(jobs, backups), isouter=True)
        .where(jobs.c.project == name.project, jobs.c.state.in_(UNFINISHED), job_epochs.c.epoch < epoch)
        .order_by(jobs.c.created_at)
    )
    found = []
    for row in connection.execute(query):
        kind, request = JobKind(row[1]), row[2] or {}  # A backup's is long, and left out.
        if kind is JobKind.REPLICATE:
            touched, is_encrypted = (request["source"], request["target"]), request["is_encrypted"]
        else:
            touched, is_encrypted = (row.target, *row.copies, request.get("target")), row.is_encrypted
        if name.target in touched and is_encrypted == name.is_encrypted:
            found.append(str(row[0]))
    return [*dict.fromkeys(found)]


def snapshot(connection: Connection, name: RepositoryName, epoch: int) -> Snapshot:
    """Return what a sweep of ``epoch`` waits for and which backups it has to look at, at one instant."""
    query = (
        select(backups.c.id, backups.c.state, backup_copies.c.state)
        .join(
            backup_copies,
            and_(backup_copies.c.backup_id == backups.c.id, backup_copies.c.target == name.target),
            isouter=True,
        )
        .where(
            backups.c.project == name.project,
            backups.c.is_encrypted == name.is_encrypted,
            backups.c.state != BackupState.DELETED,
        )
    )
    published = (BackupState.AVAILABLE, BackupState.DELETING)
    roots = [
        Root(backup_id, state in published and copy == CopyState.COMPLETE, state == BackupState.DELETING)
        for backup_id, state, copy in connection.execute(query)
    ]
    return Snapshot(waiting_for(connection, name, epoch), roots)


def recorded_packs(
    connection: Connection, project: str, *, is_abandoned: bool, after: tuple[str, str], limit: int
) -> list[tuple[str, str]]:
    """Return (job, pack) of some packs that unfinished jobs have stored, or those that came to nothing."""
    states = _ABANDONED if is_abandoned else UNFINISHED
    is_behind = or_(job_packs.c.job_id > after[0], and_(job_packs.c.job_id == after[0], job_packs.c.pack_id > after[1]))
    query = (
        select(job_packs.c.job_id, job_packs.c.pack_id)
        .join(jobs, jobs.c.id == job_packs.c.job_id)
        .where(jobs.c.project == project, jobs.c.state.in_(states), is_behind)
        .order_by(job_packs.c.job_id, job_packs.c.pack_id)
        .limit(limit)
    )
    return [(row.job_id, row.pack_id) for row in connection.execute(query)]


def _read(connection: Connection, query: object) -> list[Condemned]:
    return [
        Condemned(CondemnedKind(row.kind), bytes.fromhex(row.pack_id), Reason(row.reason), row.size_bytes, row.is_going)
        for row in connection.execute(query)  # type: ignore[call-overload]  # Any of the selects above.
    ]


def _key(name: RepositoryName, value: Condemned) -> dict[str, str | bool]:
    return {f"of_{column}": of for column, of in _columns(name).items()} | {
        "of_kind": value.kind,
        "of_pack": value.pack_id.hex(),
    }


def _of(table: Table, name: RepositoryName) -> ColumnElement[bool]:
    return and_(*(table.c[column] == value for column, value in _columns(name).items()))


def _columns(name: RepositoryName) -> dict[str, str | bool]:
    return {"project": name.project, "target": name.target, "is_encrypted": name.is_encrypted}
