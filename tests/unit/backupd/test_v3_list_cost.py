"""A page of a long list costs what is on it: the plan reads one index in order, and sorts nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from backupd.block_storage import Listing
from tests.support.v3 import PROJECT, V3, serve_v3


@pytest.fixture
async def v3(tmp_path: Path) -> AsyncIterator[V3]:
    async with serve_v3(tmp_path) as served:
        yield served


async def plan(v3: V3, listing: Listing) -> list[str]:
    """Return how SQLite goes about the last query of a page."""
    catalog, asked = v3.world.catalog, []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: Any) -> None:
        asked.append((statement, parameters))

    event.listen(catalog._reading, "before_cursor_execute", note)
    await catalog.block_storage.backups(PROJECT, listing)
    event.remove(catalog._reading, "before_cursor_execute", note)

    def explain(connection: Connection) -> list[str]:
        statement, parameters = asked[-1]
        return [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]

    return await catalog._run(explain)


async def test_a_page_reads_the_index_of_the_list_and_sorts_nothing(v3: V3) -> None:
    backup_id = await v3.add_backup(await v3.add_volume())
    for listing in (Listing(limit=10), Listing(limit=10, marker=backup_id), Listing(limit=10, offset=5)):
        found = await plan(v3, listing)
        assert any("backups USING INDEX ix_backups_listed" in step for step in found), found
        assert not any("TEMP B-TREE" in step or step.startswith("SCAN backups") for step in found), found


async def test_the_place_in_the_list_is_part_of_the_search_of_the_index(v3: V3) -> None:
    backup_id = await v3.add_backup(await v3.add_volume())
    found = await plan(v3, Listing(limit=10, marker=backup_id))
    assert any("ix_backups_listed (project=? AND (created_at,id)<(?,?))" in step for step in found), found
