"""The chunk index: which chunks a repository has, and where. A hint on this machine's disk.

A miss costs space, never correctness. An entry is added only once its pack is on the target, and who relies on
a hit looks whether the pack still is there. The file may be deleted at any time.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import xxhash

from backupd.repository.scratch import open_scratch, remove
from chunker.digest import Kind
from chunker.node import Pointer
from chunker.pack import PackEntry

T = TypeVar("T")
_log = logging.getLogger(__name__)
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE packs (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE);
CREATE TABLE chunks (
    id BLOB PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) WITHOUT ROWID;
"""
_FIND = (
    "SELECT chunks.id, packs.id, offset, length, checksum"
    " FROM chunks JOIN packs ON number = pack WHERE chunks.id IN ({marks})"
)
_CACHE_SIZE_KIB = 4096
_IDS_PER_QUERY = 64
_TIDIED_AT_A_TIME = 10_000


class ChunkIndex:
    """Blocks, and is safe to call from any thread. Its memory is bounded by the page cache of 4 MiB."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            self._connection = self._anew(error)

    def find(self, ids: Sequence[bytes]) -> dict[bytes, Pointer]:
        """Return where those of ``ids`` are that the repository has."""
        return self._do(lambda connection: _find(connection, ids))

    def add(self, pack_id: bytes, entries: Iterable[PackEntry]) -> None:
        """Remember the chunks of a pack that is on the target; nodes are never looked up by content."""
        chunks = [entry for entry in entries if entry.kind is Kind.CHUNK]
        self._do(lambda connection: _insert(connection, pack_id, chunks))

    def forget(self, pack_ids: Sequence[bytes]) -> None:
        """Let the chunks of packs be found no more, because these are lost, damaged or to be deleted."""
        self._do(lambda connection: _delete(connection, pack_ids))

    def tidy(self, after: bytes) -> bytes | None:
        """Remove some chunks of packs that were forgotten; return where to go on behind, None at the end."""
        return self._do(lambda connection: _tidy(connection, after))

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._connection.close()

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                return work(self._connection)
            except sqlite3.DatabaseError as error:
                self._connection.close()
                self._connection = self._anew(error)
                return work(self._connection)

    def _open(self) -> sqlite3.Connection:
        return open_scratch(self._path, schema=_SCHEMA, version=_SCHEMA_VERSION, cache_size_kib=_CACHE_SIZE_KIB)

    def _anew(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        """Begin with an empty file: damaged, or of another version, it is only a hint."""
        if isinstance(error, sqlite3.ProgrammingError):
            raise error  # Our own mistake, as asking after ``close``.
        _log.warning("chunk index %s cannot be used and starts anew: %s", self._path, error)
        remove(self._path)
        return self._open()


def _find(connection: sqlite3.Connection, ids: Sequence[bytes]) -> dict[bytes, Pointer]:
    found: dict[bytes, Pointer] = {}
    for first in range(0, len(ids), _IDS_PER_QUERY):
        some = ids[first : first + _IDS_PER_QUERY]
        query = _FIND.format(marks=",".join("?" * len(some)))
        for *fields, checksum in connection.execute(query, some):
            pointer = Pointer(*fields)
            if _checksum(pointer) == checksum:  # SQLite has none of its own, and a wrong hit would lose data.
                found[pointer.id] = pointer
    return found


def _insert(connection: sqlite3.Connection, pack_id: bytes, chunks: Sequence[PackEntry]) -> None:
    with connection:
        connection.execute("INSERT OR IGNORE INTO packs (id) VALUES (?)", (pack_id,))
        pointers = [Pointer(chunk.id, pack_id, chunk.offset, chunk.length) for chunk in chunks]
        number = connection.execute("SELECT number FROM packs WHERE id = ?", (pack_id,)).fetchone()[0]
        connection.executemany(
            "INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?, ?)",
            [(pointer.id, number, pointer.offset, pointer.length, _checksum(pointer)) for pointer in pointers],
        )


def _delete(connection: sqlite3.Connection, pack_ids: Sequence[bytes]) -> None:
    # Their chunks stay until they are added anew, since looking for them would read the whole table. Should another
    # pack get the number of one, their checksums do not hold.
    with connection:
        connection.executemany("DELETE FROM packs WHERE id = ?", [(one,) for one in pack_ids])


def _tidy(connection: sqlite3.Connection, after: bytes) -> bytes | None:
    some = "SELECT id FROM chunks WHERE id > ? ORDER BY id LIMIT ?"
    found = connection.execute(f"SELECT max(id) FROM ({some})", (after, _TIDIED_AT_A_TIME)).fetchone()  # noqa: S608 - no value in it
    last: bytes | None = found[0]
    if last is not None:
        with connection:
            connection.execute(
                "DELETE FROM chunks WHERE id > ? AND id <= ? AND pack NOT IN (SELECT number FROM packs)", (after, last)
            )
    return last


def _checksum(pointer: Pointer) -> int:
    place = pointer.offset.to_bytes(4, "little") + pointer.length.to_bytes(4, "little")
    return xxhash.xxh3_64_intdigest(pointer.id + pointer.pack + place) >> 1  # SQLite's integers are signed.
