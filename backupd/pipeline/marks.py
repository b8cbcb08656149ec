"""What a collection has seen: packs, live frames, forwards, nodes. On disk, because a repository has millions.

A file outlives the daemon, so that a collection which has to wait need not read every tree again. Without it the
collection only reads more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from backupd.repository.forward import Forward
from backupd.repository.forwards import HOPS_MAX
from backupd.repository.scratch import open_scratch, remove
from chunker.node import Pointer
from chunker.pack import ENTRY_SIZE_BYTES, TRAILER_SIZE_BYTES

_VERSION = 2
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE packs (
    number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
    is_in_use INTEGER NOT NULL DEFAULT 0, is_abandoned INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE frames (
    pack INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL, PRIMARY KEY (pack, offset)
) WITHOUT ROWID;
CREATE TABLE forwards (
    pack BLOB PRIMARY KEY, size INTEGER NOT NULL, is_known INTEGER NOT NULL DEFAULT 0,
    is_needed INTEGER NOT NULL DEFAULT 0, is_absent INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE moved (
    pack BLOB NOT NULL, offset INTEGER NOT NULL, to_pack BLOB NOT NULL, to_offset INTEGER NOT NULL,
    PRIMARY KEY (pack, offset)
) WITHOUT ROWID;
CREATE TABLE roots (backup TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE nodes (id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE unread (
    id BLOB PRIMARY KEY, pack BLOB NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL, level INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX unread_in_order ON unread (pack, offset);
"""
_CACHE_SIZE_KIB = 8192
_NUMBERS_REMEMBERED = 64 * 1024


class MarkedPack(NamedTuple):
    """A pack that was listed, and how many of its bytes some tree needs, their entries in the footer included."""

    id: bytes
    size_bytes: int
    live_bytes: int
    is_in_use: bool
    is_abandoned: bool
    number: int


class UnreadNode(NamedTuple):
    """A node that no tree has led to before."""

    pointer: Pointer
    level: int


class Marks:
    """Blocks, and belongs to one thread at a time. Each method is one transaction."""

    def __init__(self, path: Path) -> None:
        self._numbers: dict[bytes, int | None] = {}
        try:
            self._connection = _opened(path)
        except sqlite3.DatabaseError:
            remove(path)
            self._connection = _opened(path)

    def epoch(self) -> int | None:
        """Return the condemnation that this was made for."""
        found = self._connection.execute("SELECT value FROM facts WHERE name = 'epoch'").fetchone()
        return None if found is None else int(found[0])

    def set_epoch(self, value: int) -> None:
        """Note the condemnation that this was made for."""
        with self._connection:
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('epoch', ?)", (value,))

    def add_packs(self, packs: Iterable[tuple[bytes, int]]) -> None:
        """Note packs that are on the target, with their sizes."""
        with self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO packs (id, size) VALUES (?, ?)", packs)
        self._numbers.clear()

    def add_recorded(self, packs: Collection[bytes], *, is_abandoned: bool) -> None:
        """Note which packs unfinished jobs have stored, or those that came to nothing."""
        column = "is_abandoned" if is_abandoned else "is_in_use"
        with self._connection:
            self._connection.executemany(
                f"UPDATE packs SET {column} = 1 WHERE id = ?",  # noqa: S608 - one of two names of our own
                [(pack,) for pack in packs],
            )

    def add_forwards(self, forwards: Iterable[tuple[bytes, int]]) -> None:
        """Note forwards that are on the target, with their sizes."""
        with self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO forwards (pack, size) VALUES (?, ?)", forwards)

    def packs_among(self, pack_ids: Iterable[bytes]) -> list[bytes]:
        """Return those of some packs that were listed."""
        return [pack_id for pack_id in pack_ids if self._number(pack_id) is not None]

    def drop_pack(self, pack_id: bytes) -> None:
        """Forget a pack that was listed, and is not there."""
        with self._connection:
            self._connection.execute("DELETE FROM packs WHERE id = ?", (pack_id,))
        self._numbers.clear()

    def learn(self, pack: bytes, places: Forward | None) -> None:
        """Note what a forward says, or that there is none. It need not have been listed."""
        with self._connection:
            self._connection.execute("INSERT OR IGNORE INTO forwards (pack, size) VALUES (?, 0)", (pack,))
            is_absent = places is None
            self._connection.execute(
                "UPDATE forwards SET is_known = 1, is_absent = ? WHERE pack = ?", (is_absent, pack)
            )
            self._connection.executemany(
                "INSERT OR IGNORE INTO moved VALUES (?, ?, ?, ?)",
                [(pack, offset, place.pack, place.offset) for offset, place in (places or {}).items()],
            )

    def has_root(self, backup_id: str) -> bool:
        """Tell whether the tree of a backup was noted before."""
        query = "SELECT 1 FROM roots WHERE backup = ?"
        return self._connection.execute(query, (backup_id,)).fetchone() is not None

    def unknown(self, pointers: Iterable[Pointer]) -> set[bytes]:
        """Return the packs whose forwards have to be learnt before these pointers can be noted."""
        unknown = set()
        for pointer in pointers:
            pack, offset = pointer.pack, pointer.offset
            for _ in range(HOPS_MAX):
                if self._number(pack) is not None:
                    break
                if self._is_to_be_learnt(pack):
                    unknown.add(pack)
                    break
                if (place := self._moved(pack, offset)) is None:
                    break
                pack, offset = place
        return unknown

    def add_root(self, backup_id: str, root: Pointer | None, level: int) -> None:
        """Note the tree of a backup."""
        with self._connection:
            if root is not None:
                self._add(root, level)
            self._connection.execute("INSERT OR IGNORE INTO roots VALUES (?)", (backup_id,))

    def next_unread(self, limit: int) -> list[UnreadNode]:
        """Return some nodes that have to be read, neighbours together."""
        query = "SELECT id, pack, offset, length, level FROM unread ORDER BY pack, offset LIMIT ?"
        return [UnreadNode(Pointer(*fields), level) for *fields, level in self._connection.execute(query, (limit,))]

    def add_read(self, nodes: Sequence[tuple[UnreadNode, Iterable[Pointer]]]) -> None:
        """Note what nodes point to; from then on they need not be read."""
        with self._connection:
            for unread, pointers in nodes:
                if unread.level == 0:
                    self._add_chunks(pointers)
                else:
                    for pointer in pointers:
                        self._add(pointer, unread.level - 1)
            self._connection.executemany(
                "DELETE FROM unread WHERE id = ?", [(unread.pointer.id,) for unread, _ in nodes]
            )

    def pack(self, pack_id: bytes) -> MarkedPack | None:
        """Return what is known of a pack; None when it was not there."""
        found = self._connection.execute(f"{_PACKS} WHERE id = ? GROUP BY number", (pack_id,)).fetchone()
        return None if found is None else _marked(found)

    def packs(self, *, after: int, limit: int) -> list[MarkedPack]:
        """Return some packs that were there, by number, those behind ``after``; numbers begin with 1."""
        query = f"{_PACKS} WHERE number > ? GROUP BY number ORDER BY number LIMIT ?"
        return [_marked(row) for row in self._connection.execute(query, (after, limit))]

    def live_frames(self, pack_id: bytes) -> list[tuple[int, int]]:
        """Return offset and length of each frame of a pack that some tree needs."""
        number = self._number(pack_id)
        query = "SELECT offset, length FROM frames WHERE pack = ? ORDER BY offset"
        return [] if number is None else self._connection.execute(query, (number,)).fetchall()

    def forwards(self, *, is_needed: bool, after: bytes, limit: int) -> list[tuple[bytes, int]]:
        """Return some packs whose forwards some tree needs, or none does, with the sizes of those; by id."""
        query = (
            "SELECT pack, size FROM forwards WHERE is_needed = ? AND NOT is_absent AND pack > ? ORDER BY pack LIMIT ?"
        )
        return self._connection.execute(query, (is_needed, after, limit)).fetchall()

    def is_needed(self, pack_id: bytes) -> bool:
        """Tell whether some tree needs the forward of a pack."""
        query = "SELECT is_needed FROM forwards WHERE pack = ?"
        found = self._connection.execute(query, (pack_id,)).fetchone()
        return found is not None and bool(found[0])

    def count_forwards(self) -> int:
        """Return how many forwards were there."""
        return int(self._connection.execute("SELECT count(*) FROM forwards WHERE NOT is_absent").fetchone()[0])

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def _add(self, pointer: Pointer, level: int) -> None:
        """Note a pointer to a node, and that it is to be read if it was not met before."""
        self._add_frame(pointer)
        if self._connection.execute("INSERT OR IGNORE INTO nodes VALUES (?)", (pointer.id,)).rowcount:
            self._connection.execute("INSERT OR IGNORE INTO unread VALUES (?, ?, ?, ?, ?)", (*pointer, level))

    def _add_chunks(self, pointers: Iterable[Pointer]) -> None:
        rows = [(*place, one.length) for one in pointers if (place := self._place(one)) is not None]
        self._connection.executemany("INSERT OR IGNORE INTO frames VALUES (?, ?, ?)", rows)

    def _add_frame(self, pointer: Pointer) -> None:
        if (place := self._place(pointer)) is not None:
            self._connection.execute("INSERT OR IGNORE INTO frames VALUES (?, ?, ?)", (*place, pointer.length))

    def _place(self, pointer: Pointer) -> tuple[int, int] | None:
        """Return number of the pack and offset where a frame is now; the forwards on the way are needed."""
        pack, offset = pointer.pack, pointer.offset
        for _ in range(HOPS_MAX):
            if (number := self._number(pack)) is not None:
                return number, offset
            # Also when it does not say where this frame went: it may have learnt that since.
            self._connection.execute("UPDATE forwards SET is_needed = 1 WHERE pack = ? AND is_needed = 0", (pack,))
            if (place := self._moved(pack, offset)) is None:
                return None
            pack, offset = place
        return None

    def _moved(self, pack: bytes, offset: int) -> tuple[bytes, int] | None:
        query = "SELECT to_pack, to_offset FROM moved WHERE pack = ? AND offset = ?"
        found: tuple[bytes, int] | None = self._connection.execute(query, (pack, offset)).fetchone()
        return found

    def _is_to_be_learnt(self, pack: bytes) -> bool:
        query = "SELECT 1 FROM forwards WHERE pack = ? AND is_known"
        return self._connection.execute(query, (pack,)).fetchone() is None

    def _number(self, pack: bytes) -> int | None:
        if pack in self._numbers:
            return self._numbers[pack]
        found = self._connection.execute("SELECT number FROM packs WHERE id = ?", (pack,)).fetchone()
        if len(self._numbers) >= _NUMBERS_REMEMBERED:
            self._numbers.clear()
        number = self._numbers[pack] = None if found is None else int(found[0])
        return number


# What a pack would be long that held only what lives: then a pack that is all alive is as long as it is.
_PACKS = (
    f"SELECT id, size, coalesce(sum(length + {ENTRY_SIZE_BYTES}) + {TRAILER_SIZE_BYTES}, 0),"  # noqa: S608 - constants
    " is_in_use, is_abandoned, number"
    " FROM packs LEFT JOIN frames ON pack = number"
)


def _opened(path: Path) -> sqlite3.Connection:
    return open_scratch(path, schema=_SCHEMA, version=_VERSION, cache_size_kib=_CACHE_SIZE_KIB)


def _marked(row: tuple[bytes, int, int, int, int, int]) -> MarkedPack:
    pack_id, size, live, is_in_use, is_abandoned, number = row
    return MarkedPack(pack_id, size, live, bool(is_in_use), bool(is_abandoned), number)
