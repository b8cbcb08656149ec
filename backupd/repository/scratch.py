"""A SQLite file of what can be found out again, so that it may be deleted at any time. Blocks."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def open_scratch(path: Path, *, schema: str, version: int, cache_size_kib: int) -> sqlite3.Connection:
    """Open the file, made with ``schema`` when it is not there, for any thread, one at a time.

    sqlite3.DatabaseError when it is damaged, or of another ``version``: then ``remove`` it and begin anew.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{cache_size_kib}")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            connection.executescript(f"{schema} PRAGMA user_version = {version};")
        elif found != version:
            raise sqlite3.DatabaseError(f"version {found}, expected {version}")
    except BaseException:
        connection.close()
        raise
    return connection


def remove(path: Path) -> None:
    """Remove the file, and what SQLite has put beside it; there need not be one."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
