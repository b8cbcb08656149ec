"""How SQLite goes about the queries of a catalog."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from sqlalchemy import Connection, event

from backupd.catalog.store import Catalog


async def plans(catalog: Catalog, asking: Awaitable[object]) -> list[list[str]]:
    """Return the steps of each query that ``asking`` makes."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: Any) -> None:
        asked.append((statement, parameters))

    event.listen(catalog._engine, "before_cursor_execute", note)
    await asking
    event.remove(catalog._engine, "before_cursor_execute", note)

    def explain(connection: Connection) -> list[list[str]]:
        return [
            [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in asked
        ]

    return await catalog._run(explain)
