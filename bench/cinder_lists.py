"""How long a page of a list of 100,000 backups takes over HTTP, with 8 clients and with 1."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from sqlalchemy import Connection, insert

from backupd.api import build_app
from backupd.application import build_application
from backupd.block_storage import BackupDetails
from backupd.catalog import rows
from backupd.catalog.block_storage.tables import block_backups
from backupd.catalog.store import Catalog
from backupd.catalog.tables import backups
from backupd.clock import SystemClock
from backupd.config import Config, DaemonConfig, PathsConfig
from backupd.model import Backup, BackupMode, BackupState
from chunker.sources.open import Sources

BACKUPS = 100_000
PAGES = 1000
PROJECT = "web"
_HEADERS = {"OpenStack-API-Version": "volume 3.71"}


def fill(connection: Connection) -> list[str]:
    """Add the backups of a project and return their ids."""
    start, ids = SystemClock().now(), []
    for first in range(0, BACKUPS, 1000):
        found = [_backup(start + timedelta(seconds=number)) for number in range(first, first + 1000)]
        ids += [one.id for one in found]
        connection.execute(insert(backups), [rows.from_backup(one) for one in found])
        details = [
            asdict(BackupDetails(name=one.name, data_timestamp=one.created_at, size_bytes=2**30)) for one in found
        ]
        connection.execute(
            insert(block_backups),
            [{**own, "backup_id": one.id, "is_unwanted": False} for one, own in zip(found, details, strict=True)],
        )
    return ids


def _backup(created_at: Any) -> Backup:
    backup_id = str(uuid.uuid4())
    return Backup(
        id=backup_id,
        project=PROJECT,
        volume_id=str(uuid.uuid4()),
        name=backup_id,
        mode=BackupMode.FULL,
        target="local",
        chunk_size_bytes=262144,
        compression_level=3,
        is_encrypted=True,
        is_deduplicated=True,
        state=BackupState.AVAILABLE,
        created_at=created_at,
        size_bytes=2**30,
    )


async def measure(url: str, ids: list[str], *, clients: int, limit: int) -> dict[str, float]:
    """Return percentiles of the time that a page takes, somewhere in the list."""
    draw, took_ms = random.Random(1), []

    async def ask(session: aiohttp.ClientSession) -> None:
        for _ in range(PAGES // clients):
            path = f"/v3/{PROJECT}/backups/detail?limit={limit}&marker={draw.choice(ids)}"
            started = time.perf_counter()
            async with session.get(url + path, headers=_HEADERS) as response:
                assert response.status == 200
                await response.read()
            took_ms.append((time.perf_counter() - started) * 1000)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(ask(session))
    cuts = statistics.quantiles(took_ms, n=100)
    return {"p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1), "max_ms": round(max(took_ms), 1)}


async def main() -> None:
    """Fill a catalog, serve it, and print what was measured."""
    with tempfile.TemporaryDirectory(prefix="bench-") as place, ThreadPoolExecutor(2) as executor:
        catalog, clock = await Catalog.open(f"sqlite:///{place}/catalog.db", SystemClock()), SystemClock()
        ids = await catalog._run(fill)  # noqa: SLF001 - no API makes so many in a minute
        config = Config(daemon=DaemonConfig(), paths=PathsConfig(), targets={})
        application = build_application(
            catalog=catalog,
            clock=clock,
            config=config,
            sources=Sources({}),
            observed={},
            executor=executor,
            wake=lambda: None,
            sign=lambda text: text,
        )
        runner = web.AppRunner(build_app(application, health=dict, clock=clock, executor=executor))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        found = {
            f"{clients} client(s), pages of {limit}": await measure(url, ids, clients=clients, limit=limit)
            for clients, limit in ((1, 20), (8, 20), (1, 100))
        }
        await runner.cleanup()
        await catalog.aclose()
        print(json.dumps({"backups": BACKUPS, "catalog_mib": _size_mib(Path(place)), "pages": found}, indent=1))


def _size_mib(place: Path) -> int:
    return sum(path.stat().st_size for path in place.iterdir()) // 2**20


if __name__ == "__main__":
    asyncio.run(main())
