"""Connections to the database, made so that what is committed is durable and writers wait for each other."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

READERS = 2
ONLY_READS = "only_reads"
"""The execution option of connections that never write."""

_BUSY_TIMEOUT_MS = 30_000


def engine_of(url: str) -> Engine:
    """Return what connects to a database, which is not asked for anything yet."""
    # What is stored has no place in a log, not even in that of an error.
    engine = create_engine(url, pool_size=1 + READERS, max_overflow=0, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _begin_sqlite(connection: Connection) -> None:
    driver_connection = connection.connection.driver_connection
    assert driver_connection is not None
    only_reads = connection.get_execution_options().get(ONLY_READS, False)
    # Take the write lock at once: a transaction that reads first and then writes could not wait for it.
    driver_connection.execute("BEGIN" if only_reads else "BEGIN IMMEDIATE")


def _configure_sqlite(connection: Any, _record: ConnectionPoolEntry) -> None:
    assert isinstance(connection, sqlite3.Connection)
    connection.isolation_level = None  # Transactions begin where SQLAlchemy says, not where Python guesses.
    for pragma in (
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
