"""A page of a long list costs what is on it: the plan reads one index in order, and sorts nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event

from backupd.block_storage import Listing
from tests.support.query_plan import plans
from tests.support.v3 import PROJECT, V3, serve_v3


@pytest.fixture
async def v3(tmp_path: Path) -> AsyncIterator[V3]:
    async with serve_v3(tmp_path) as served:
        yield served


async def plan(v3: V3, listing: Listing) -> list[str]:
    """Return how SQLite goes about the last query of a page."""
    catalog = v3.world.catalog
    return (await plans(catalog, catalog.block_storage.backups(PROJECT, listing)))[-1]


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


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("name", "ix_block_backups_name"),
        ("volume_id", "ix_backups_volume_id_state"),
        ("snapshot_id", "ix_block_backups_snapshot_id"),
        ("parent_id", "ix_backups_parent_id"),
    ],
)
async def test_what_few_backups_have_in_common_is_looked_up(v3: V3, name: str, index: str) -> None:
    found = await plan(v3, Listing(limit=10, filters={name: "x"}))
    assert any(index in step and f"({name}=?)" in step for step in found), found
    assert not any("ix_backups_listed" in step for step in found), found


async def test_a_page_is_two_statements_however_long_it_is(v3: V3) -> None:
    volume_id = await v3.add_volume()
    ids = [await v3.add_backup(volume_id, incremental=number > 0) for number in range(4)]
    asked: list[str] = []
    event.listen(v3.world.catalog._engine, "before_cursor_execute", lambda *about: asked.append(about[2]))
    page = await v3.get(f"/backups/detail?sort=created_at:asc&marker={ids[0]}")
    assert [one["has_dependent_backups"] for one in page["backups"]] == [True, True, False]
    assert [statement.split()[0] for statement in asked] == ["SELECT", "SELECT"]
