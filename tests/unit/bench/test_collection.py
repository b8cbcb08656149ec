from __future__ import annotations

from pathlib import Path

from bench.collection import measure


async def test_a_collection_asks_for_nodes_and_for_what_is_dead_and_not_for_packs_that_live(tmp_path: Path) -> None:
    found = await measure(tmp_path, chunks=20_000, backups=10, dead=1)
    assert found["packs"] > 500
    assert found["deleted_packs"] == 20_000 / 10 / 40 + 1  # All of one backup: 40 chunks in each, and one of nodes.
    assert found["requests"]["get"] <= found["nodes"] + 20
    assert found["requests_total"] < found["packs"] / 4
