"""Bugs put into the service on purpose, to see that the simulator finds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import Connection, update

from backupd.catalog import backups as backup_rows
from backupd.catalog import condemnations
from backupd.catalog import jobs as job_rows
from backupd.catalog.tables import jobs
from backupd.pipeline.marks import Marks
from backupd.repository.manifest import Manifest
from backupd.repository.repository import Repository
from chunker.sources.memory import MemoryPoint


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Let ``owner.name`` be ``value`` for as long as the context lasts."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def fence_ignored() -> Iterator[None]:
    """Let a worker write results whether or not the job is still its own."""

    def change(connection: Connection, job_id: str, _fence: int, **values: Any) -> None:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))

    with ExitStack() as bugs:
        bugs.enter_context(replaced(job_rows, "_change", change))
        bugs.enter_context(replaced(backup_rows, "require_fence", lambda *_: None))
        yield


@contextmanager
def epoch_ignored() -> Iterator[None]:
    """Let a sweep wait for no job, whatever that may rely on."""
    with replaced(condemnations, "waiting_for", lambda *_: []):
        yield


@contextmanager
def forwards_believed() -> Iterator[None]:
    """Let a collection know of no forward but those that a listing has shown."""

    def is_to_be_learnt(self: Marks, pack: bytes) -> bool:
        query = "SELECT 1 FROM forwards WHERE pack = ? AND is_known = 0"
        return self._connection.execute(query, (pack,)).fetchone() is not None

    with replaced(Marks, "_is_to_be_learnt", is_to_be_learnt), replaced(condemnations, "note_moved", lambda *_: None):
        yield


@contextmanager
def published_before_packs() -> Iterator[None]:
    """Let packs be stored only after the manifest that refers to them."""
    put_pack, publish = Repository.put_pack, Repository.publish
    late: dict[int, list[tuple[bytes, bytes]]] = {}

    async def put_later(self: Repository, pack_id: bytes, body: memoryview) -> None:
        late.setdefault(id(self), []).append((pack_id, bytes(body)))

    async def publish_first(self: Repository, published: Manifest) -> None:
        await publish(self, published)
        for pack_id, body in late.pop(id(self), []):
            await put_pack(self, pack_id, memoryview(body))

    with ExitStack() as bugs:
        bugs.enter_context(replaced(Repository, "put_pack", put_later))
        bugs.enter_context(replaced(Repository, "publish", publish_first))
        yield


@contextmanager
def rollback_forgotten() -> Iterator[None]:
    """Let a source begin its tracking anew at each point, whether or not the backup was published."""

    def lose_changes(self: MemoryPoint) -> None:
        for token, pages in self._volume._bitmaps.items():
            if token < self._number:
                pages.clear()

    with replaced(MemoryPoint, "rollback", lose_changes):
        yield


@contextmanager
def replications_unnoticed() -> Iterator[None]:
    """Let nobody know which backup a replication is on."""

    def turn_to(_connection: Connection, _backup_id: str, **_held: Any) -> bool:
        return True

    with replaced(backup_rows, "turn_to", turn_to):
        yield
