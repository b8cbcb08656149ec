from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from backupd.repository.index import ChunkIndex
from chunker.digest import Kind
from chunker.node import Pointer
from chunker.pack import PackEntry

PACK = b"p" * 16


def entries(count: int, kind: Kind = Kind.CHUNK) -> list[PackEntry]:
    return [PackEntry(number.to_bytes(32, "big"), number * 100, 100, kind) for number in range(count)]


def pointers(found: list[PackEntry], pack: bytes = PACK) -> dict[bytes, Pointer]:
    return {entry.id: Pointer(entry.id, pack, entry.offset, entry.length) for entry in found}


def ids(count: int) -> list[bytes]:
    return [entry.id for entry in entries(count)]


def test_a_chunk_is_found_where_it_was_added(tmp_path: Path) -> None:
    with closing(ChunkIndex(tmp_path / "index.db")) as index:
        index.add(PACK, entries(3))
        assert index.find(ids(3)) == pointers(entries(3))


def test_an_unknown_chunk_is_a_miss(tmp_path: Path) -> None:
    with closing(ChunkIndex(tmp_path / "index.db")) as index:
        index.add(PACK, entries(1))
        assert index.find(ids(2)) == pointers(entries(1))
        assert index.find([]) == {}


def test_any_number_of_chunks_may_be_asked_for(tmp_path: Path) -> None:
    with closing(ChunkIndex(tmp_path / "index.db")) as index:
        index.add(PACK, entries(1000))
        assert index.find(ids(1000)) == pointers(entries(1000))


def test_nodes_are_never_found(tmp_path: Path) -> None:
    with closing(ChunkIndex(tmp_path / "index.db")) as index:
        index.add(PACK, entries(1, Kind.NODE))
        assert index.find(ids(1)) == {}


def test_the_place_that_was_told_first_stays(tmp_path: Path) -> None:
    with closing(ChunkIndex(tmp_path / "index.db")) as index:
        for pack in (PACK, b"q" * 16, PACK):
            index.add(pack, entries(1))
        assert index.find(ids(1)) == pointers(entries(1))


def test_what_was_added_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "new" / "index.db"
    with closing(ChunkIndex(path)) as index:
        index.add(PACK, entries(2))
    with closing(ChunkIndex(path)) as index:
        assert index.find(ids(2)) == pointers(entries(2))


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database " * 1000)


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 2")


def half_made(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 0")


@pytest.mark.parametrize("damage", [garbage, newer, half_made])
def test_a_file_that_cannot_be_used_starts_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "index.db"
    with closing(ChunkIndex(path)) as index:
        index.add(PACK, entries(2))
    damage(path)
    with closing(ChunkIndex(path)) as index:
        assert index.find(ids(2)) == {}
        index.add(PACK, entries(2))
        assert index.find(ids(2)) == pointers(entries(2))


def damaged_inside(path: Path) -> ChunkIndex:
    """Return an index that can be opened, but whose pages are garbage."""
    with closing(ChunkIndex(path)) as index:
        index.add(PACK, entries(2000))
    stored = bytearray(path.read_bytes())
    stored[4096:] = b"\xa5" * (len(stored) - 4096)
    path.write_bytes(stored)
    return ChunkIndex(path)


def test_damage_that_shows_late_is_a_miss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), closing(damaged_inside(tmp_path / "index.db")) as index:
        assert index.find(ids(2000)) == {}
        index.add(PACK, entries(2))
        assert index.find(ids(2)) == pointers(entries(2))
    assert (
        f"chunk index {tmp_path}/index.db cannot be used and starts anew: database disk image is malformed"
        in caplog.text
    )


def test_damage_that_shows_when_adding_loses_nothing_of_what_is_added(tmp_path: Path) -> None:
    with closing(damaged_inside(tmp_path / "index.db")) as index:
        index.add(PACK, entries(2))
        assert index.find(ids(2)) == pointers(entries(2))


def test_asking_after_closing_is_a_mistake_and_keeps_the_file(tmp_path: Path) -> None:
    index = ChunkIndex(tmp_path / "index.db")
    index.add(PACK, entries(1))
    index.close()
    with pytest.raises(sqlite3.ProgrammingError):
        index.find(ids(1))
    with closing(ChunkIndex(tmp_path / "index.db")) as index:
        assert index.find(ids(1)) == pointers(entries(1))


@pytest.mark.parametrize("column", ["pack", "offset", "length"])
def test_p3_tell_a_garbled_row_is_a_miss_until_it_is_added_anew(tmp_path: Path, column: str) -> None:
    path = tmp_path / "index.db"
    with closing(ChunkIndex(path)) as index:
        index.add(PACK, entries(1))
        index.add(bytes(16), [])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE chunks SET {column} = {column} + 1")
    with closing(ChunkIndex(path)) as index:
        assert index.find(ids(1)) == {}
        index.add(PACK, entries(1))
        assert index.find(ids(1)) == pointers(entries(1))


def test_chunks_of_a_forgotten_pack_are_a_miss_until_they_are_added_anew(tmp_path: Path) -> None:
    with closing(ChunkIndex(tmp_path / "index.db")) as index:
        index.add(PACK, entries(3))
        index.forget([PACK])
        index.forget([PACK])
        assert index.find(ids(3)) == {}
        index.add(b"q" * 16, entries(2))
        assert index.find(ids(3)) == pointers(entries(2), b"q" * 16)


def test_forgetting_a_pack_leaves_the_others(tmp_path: Path) -> None:
    with closing(ChunkIndex(tmp_path / "index.db")) as index:
        index.add(PACK, entries(2))
        index.add(b"q" * 16, entries(1))
        index.forget([PACK])
        assert index.find(ids(2)) == pointers(entries(1), b"q" * 16)


def test_damage_that_shows_when_forgetting_forgets_everything(tmp_path: Path) -> None:
    with closing(damaged_inside(tmp_path / "index.db")) as index:
        index.forget([PACK])
        assert index.find(ids(2000)) == {}
