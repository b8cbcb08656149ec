from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Row, create_engine, inspect

from backupd.catalog import schema
from backupd.catalog.store import Catalog
from backupd.catalog.tables import metadata
from backupd.errors import CatalogError
from chunker.sources.address import Address
from tests.support.builders import make_backup_type
from tests.support.catalogs import open_catalog
from tests.support.virtual_clock import VirtualClock

_OLD_TABLES = ("backup_types", "volumes", "backups", "jobs", "attempts", "job_packs")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "100% catalog.sqlite"


@pytest.fixture
def upgraded(path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        schema.upgrade(connection)
        yield connection
    engine.dispose()


async def open_and_close(path: Path) -> None:
    await (await Catalog.open(f"sqlite:///{path}", VirtualClock())).aclose()


def test_the_revisions_give_the_tables_of_the_code(upgraded: Connection) -> None:
    assert compare_metadata(MigrationContext.configure(upgraded), metadata) == []


def test_every_constraint_and_index_has_a_name(upgraded: Connection) -> None:
    found = inspect(upgraded)
    for table in metadata.tables:
        named = [found.get_pk_constraint(table), *found.get_foreign_keys(table), *found.get_indexes(table)]
        assert all(one["name"] for one in [*named, *found.get_unique_constraints(table)])


def test_head_is_the_newest_revision() -> None:
    assert ScriptDirectory(str(schema._MIGRATIONS)).get_heads() == [schema.HEAD]


async def test_what_was_stored_is_there_after_opening_again(path: Path) -> None:
    backup_type = make_backup_type()
    async with open_catalog(path, VirtualClock()) as catalog:
        await catalog.add_backup_type(backup_type)
    async with open_catalog(path, VirtualClock()) as catalog:
        assert await catalog.backup_types() == [backup_type]


async def test_opening_a_database_that_is_up_to_date_does_not_load_alembic(path: Path) -> None:
    await open_and_close(path)
    code = (
        "import asyncio, sys\n"
        "from backupd.catalog.store import Catalog\n"
        "from backupd.clock import SystemClock\n"
        f"catalog = asyncio.run(Catalog.open('sqlite:///{path}', SystemClock()))\n"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_a_database_of_a_newer_version_is_refused_and_kept(path: Path) -> None:
    await open_and_close(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(CatalogError, match=f"revision 9999, which is newer than this version's {schema.HEAD}"):
        await open_and_close(path)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


async def test_a_file_that_is_no_database_is_refused_by_its_path(path: Path) -> None:
    path.write_bytes(b"x" * 8192)
    with pytest.raises(CatalogError, match=f"catalog {path} cannot be used: file is not a database"):
        await open_and_close(path)


async def test_a_damaged_page_is_a_catalog_error(path: Path) -> None:
    await open_and_close(path)
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xff" * 3996
    path.write_bytes(content)
    with pytest.raises(CatalogError, match="malformed"):
        await open_and_close(path)


async def test_a_directory_that_is_missing_is_a_catalog_error(path: Path) -> None:
    with pytest.raises(CatalogError, match="unable to open database file"):
        await open_and_close(path / "missing" / "catalog.sqlite")


@pytest.mark.parametrize(
    ("pragma", "expected"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 30000)],
)
async def test_sqlite_is_set_up_for_durability(path: Path, pragma: str, expected: object) -> None:
    async with open_catalog(path, VirtualClock()) as catalog:
        found = await catalog._run(lambda connection: connection.exec_driver_sql(f"PRAGMA {pragma}").scalar())
    assert found == expected


def test_a_catalog_of_the_first_revision_keeps_everything_and_knows_its_copies(path: Path) -> None:
    with closing(sqlite3.connect(path)) as old, old:
        old.executescript((Path(__file__).parent / "catalog-0001.sql").read_text())
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        before = {table: connection.exec_driver_sql(f"SELECT * FROM {table}").all() for table in _OLD_TABLES}
        schema.upgrade(connection)
        for table, rows in before.items():
            kept = connection.exec_driver_sql(f"SELECT * FROM {table}").all()
            assert [tuple(row)[: len(old)] for row, old in zip(kept, rows, strict=True)] == [
                _as_address(row) if table == "volumes" else tuple(row) for row in rows
            ]
        copies = connection.exec_driver_sql("SELECT backup_id, target, state FROM backup_copies").all()
        assert [tuple(row) for row in copies] == [("backup-1", "local", "complete")]
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    engine.dispose()


def _as_address(volume: Row[Any]) -> tuple[Any, ...]:
    """Return the row of a volume with the address that has become of its path."""
    return tuple(str(Address.of_path(value)) if value == volume.path else value for value in volume)
