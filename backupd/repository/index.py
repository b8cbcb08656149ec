"""The chunk index: which chunks a repository has, and where. A hint on this machine's disk.

A miss costs space, never correctness. An entry is added only once its pack is on the target, and who relies on
a hit looks whether the pack still is there. The file may be deleted at any time.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import xxhash

from chunker.digest import Kind
from chunker.node import Pointer
from chunker.pack import PackEntry

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
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            self._connection = self._anew(error)

    def find(self, ids: Sequence[bytes]) -> dict[bytes, Pointer]:
        """Return where those of ``ids`` are that the repository has."""
        with self._lock:
            try:
                return _find(self._connection, ids)
            except sqlite3.DatabaseError as error:
                self._connection.close()
                self._connection = self._anew(error)
                return {}

    def add(self, pack_id: bytes, entries: Iterable[PackEntry]) -> None:
        """Remember the chunks of a pack that is on the target; nodes are never looked up by content."""
        chunks = [entry for entry in entries if entry.kind is Kind.CHUNK]
        with self._lock:
            try:
                _insert(self._connection, pack_id, chunks)
            except sqlite3.DatabaseError as error:
                self._connection.close()
                self._connection = self._anew(error)
                _insert(self._connection, pack_id, chunks)

    def forget(self, pack_id: bytes) -> None:
        """Let the chunks of a pack be found no more, because it is lost or damaged."""
        with self._lock:
            try:
                _delete(self._connection, pack_id)
            except sqlite3.DatabaseError as error:
                self._connection.close()
                self._connection = self._anew(error)

    def forget_many(self, pack_ids: Sequence[bytes]) -> None:
        """Let the chunks of packs be found no more, because the packs go."""
        with self._lock:
            try:
                with self._connection:
                    self._connection.executemany("DELETE FROM packs WHERE id = ?", [(one,) for one in pack_ids])
            except sqlite3.DatabaseError as error:
                self._connection.close()
                self._connection = self._anew(error)

    def tidy(self, after: bytes) -> bytes | None:
        """Remove some chunks of packs that were forgotten; return where to go on behind, None at the end."""
        with self._lock:
            try:
                return _tidy(self._connection, after)
            except sqlite3.DatabaseError as error:
                self._connection.close()
                self._connection = self._anew(error)
                return None

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_SIZE_KIB}")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                connection.executescript(f"{_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION};")
            elif version != _SCHEMA_VERSION:
                raise sqlite3.DatabaseError(f"index version {version}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _anew(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        """Begin with an empty file: damaged, or of another version, it is only a hint."""
        if isinstance(error, sqlite3.ProgrammingError):
            raise error  # Our own mistake, as asking after ``close``.
        _log.warning("chunk index %s cannot be used and starts anew: %s", self._path, error)
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
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


def _delete(connection: sqlite3.Connection, pack_id: bytes) -> None:
    # Its chunks stay until they are added anew, since looking for them would read the whole table. Should another
    # pack get its number, their checksums do not hold.
    with connection:
        connection.execute("DELETE FROM packs WHERE id = ?", (pack_id,))


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
