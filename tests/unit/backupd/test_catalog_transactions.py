from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from backupd.block_storage import Listing
from backupd.catalog import policy
from backupd.errors import CatalogError, Conflict
from tests.support.builders import make_backup_type
from tests.support.catalogs import WatchedCatalog, open_catalog
from tests.support.virtual_clock import VirtualClock


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[WatchedCatalog]:
    async with open_catalog(tmp_path / "catalog.sqlite", VirtualClock()) as catalog:
        yield catalog


class HeldUp:
    """A transaction that adds a backup type, and waits in its midst until it may go on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._may_go_on = threading.Event()
        self.begun = asyncio.Event()

    def __call__(self, connection: Connection) -> None:
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self._may_go_on.wait(30)
        policy.add_backup_type(connection, make_backup_type())

    def go_on(self) -> None:
        self._may_go_on.set()


async def test_a_cancelled_caller_waits_for_its_transaction_to_be_whole(catalog: WatchedCatalog) -> None:
    work = HeldUp()
    async with asyncio.TaskGroup() as group:
        caller = group.create_task(catalog._run(work))
        await work.begun.wait()
        caller.cancel()
        for _ in range(10):
            await asyncio.sleep(0)  # Chances enough to end too early.
        assert not caller.done()
        work.go_on()
    assert caller.cancelled()
    assert len(await catalog.backup_types()) == 1


async def test_a_failure_that_nobody_waits_for_is_not_logged(
    catalog: WatchedCatalog, caplog: pytest.LogCaptureFixture
) -> None:
    work = HeldUp()

    def fail(connection: Connection) -> None:
        work(connection)
        raise Conflict("too late")

    async with asyncio.TaskGroup() as group:
        caller = group.create_task(catalog._run(fail))
        await work.begun.wait()
        caller.cancel()
        work.go_on()
    del caller, group
    gc.collect()
    assert caplog.text == ""
    assert await catalog.backup_types() == []


async def test_closing_waits_for_the_transaction_that_runs(tmp_path: Path) -> None:
    path, work = tmp_path / "catalog.sqlite", HeldUp()
    catalog = await WatchedCatalog.open(f"sqlite:///{path}", VirtualClock())
    async with asyncio.TaskGroup() as group:
        group.create_task(catalog._run(work))
        await work.begun.wait()
        closing = group.create_task(catalog.aclose())
        work.go_on()
    assert closing.done()
    async with open_catalog(path, VirtualClock()) as again:
        assert len(await again.backup_types()) == 1


async def test_the_loop_goes_on_while_the_database_works(catalog: WatchedCatalog) -> None:
    work = HeldUp()
    async with asyncio.TaskGroup() as group:
        group.create_task(catalog._run(work))
        await work.begun.wait()  # The transaction waits for this very loop.
        work.go_on()


async def test_a_list_is_read_while_somebody_writes(catalog: WatchedCatalog) -> None:
    work = HeldUp()
    async with asyncio.TaskGroup() as group:
        group.create_task(catalog._run(work))
        await work.begun.wait()
        assert await catalog.block_storage.backups("web", Listing(limit=1)) == ([], None)
        work.go_on()


async def test_a_transaction_that_fails_leaves_nothing(catalog: WatchedCatalog) -> None:
    def add_and_fail(connection: Connection) -> None:
        policy.add_backup_type(connection, make_backup_type())
        raise ValueError("after the first write")

    with pytest.raises(ValueError, match="after the first write"):
        await catalog._run(add_and_fail)
    assert await catalog.backup_types() == []


async def test_an_error_of_the_database_tells_no_value(catalog: WatchedCatalog) -> None:
    def insert_secret(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO nowhere VALUES (?)", ("hunter2",))

    with pytest.raises(CatalogError, match="no such table: nowhere") as caught:
        await catalog._run(insert_secret)
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"
