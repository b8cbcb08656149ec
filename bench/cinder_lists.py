"""How long a page of a list of 100,000 backups takes over HTTP, alone and while 200 clients work.

The daemon is a process of its own; the clients share the machine with it. An open load has a rate: each client begins
its next request at its time, late or not. A closed one asks again at once, and measures throughput.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import Connection, insert

from backupd.block_storage import BackupDetails
from backupd.catalog import rows
from backupd.catalog.block_storage.tables import block_backups
from backupd.catalog.store import Catalog
from backupd.catalog.tables import backups
from backupd.clock import SystemClock
from backupd.model import Backup, BackupMode, BackupState
from tests.support.daemon import Place, serving

BACKUPS = 100_000
PAGES = 500
CLIENTS = 200
LOAD_S = 60.0
RATES = (50, 100, 200)
PROJECT = "web"
_HEADERS = {"OpenStack-API-Version": "volume 3.71"}
_MORE = """
[backup_types.standard]
target = "local"
[policy]
default_backup_type = "standard"
[block_storage]
volumes_dir = "{root}/volumes"
"""


def fill(connection: Connection, count: int = BACKUPS) -> list[str]:
    """Add the backups of a project and return their ids."""
    start, ids = SystemClock().now(), []
    for first in range(0, count, 1000):
        found = [_backup(start + timedelta(milliseconds=number)) for number in range(first, first + 1000)]
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


class Asked:
    """What was asked for and how long the answers took, by what it was."""

    def __init__(self, url: str, session: aiohttp.ClientSession, ids: list[str]) -> None:
        self._url = f"{url}/v3/{PROJECT}"
        self._session = session
        self._clock = SystemClock()
        self._draw = random.Random(1)
        self.ids = ids
        self.took_ms: dict[str, list[float]] = {}
        self.statuses: Counter[int] = Counter()

    async def ask(self, what: str, method: str, path: str, body: Any = None, *, due_s: float | None = None) -> Any:
        """Ask; the time counts from when the request was due."""
        started_s = due_s or self._clock.monotonic()
        async with self._session.request(method, self._url + path, json=body, headers=_HEADERS) as response:
            text = await response.read()
        self.took_ms.setdefault(what, []).append((self._clock.monotonic() - started_s) * 1000)
        self.statuses[response.status] += 1
        return json.loads(text) if text else None

    async def page(self, limit: int, *, what: str = "list", due_s: float | None = None) -> None:
        """Ask for a page somewhere in the list."""
        path = f"/backups/detail?limit={limit}&marker={self._draw.choice(self.ids)}"
        await self.ask(what, "GET", path, due_s=due_s)

    async def by_name(self) -> None:
        """Look for one backup as the clients do."""
        await self.ask("list", "GET", f"/backups/detail?name={self._draw.choice(self.ids)}")

    def summary(self, elapsed_s: float) -> dict[str, Any]:
        """Return throughput and percentiles."""
        count = sum(self.statuses.values())
        shown = {what: percentiles(took_ms) for what, took_ms in sorted(self.took_ms.items())}
        statuses = {str(status): number for status, number in sorted(self.statuses.items())}
        return {"requests_per_s": round(count / elapsed_s, 1), "statuses": statuses, **shown}


def percentiles(took_ms: list[float]) -> dict[str, float]:
    """Return what half and what all but a hundredth of the answers took."""
    cuts = statistics.quantiles(took_ms, n=100)
    return {"count": len(took_ms), "p50_ms": round(cuts[49], 1), "p99_ms": round(cuts[98], 1)}


async def side_by_side(clients: int, one: Callable[[int], Coroutine[Any, Any, None]]) -> float:
    """Run the clients and return how long it took all of them."""
    clock = SystemClock()
    started_s = clock.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(one(number))
    return clock.monotonic() - started_s


async def alone(asked: Asked, *, clients: int, ask: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    """Ask for pages and for nothing else."""

    async def one(_: int) -> None:
        for _ in range(PAGES // clients):
            await ask()

    return asked.summary(await side_by_side(clients, one))


async def under_load(asked: Asked, *, interval_s: float) -> dict[str, Any]:
    """Have many clients make, list, show and delete; each begins something every ``interval_s``, 0 is at once."""
    clock = SystemClock()
    until_s = clock.monotonic() + LOAD_S

    async def one(number: int) -> None:
        due_s = clock.monotonic() + random.Random(number).random() * (interval_s or 0.1)
        volume = (await asked.ask("make a volume", "POST", "/volumes", {"volume": {"size": 1}}))["volume"]["id"]
        mine: str | None = None
        turn = number
        while due_s < until_s:
            await clock.sleep(max(0.0, due_s - clock.monotonic()))
            if not interval_s:
                due_s = clock.monotonic()
            mine = await _step(asked, turn, volume, mine, due_s)
            turn, due_s = turn + 1, due_s + interval_s
        if mine is not None:
            await asked.ask("delete", "POST", f"/backups/{mine}/action", {"os-force_delete": None})

    return asked.summary(await side_by_side(CLIENTS, one))


async def _step(asked: Asked, turn: int, volume: str, mine: str | None, due_s: float) -> str | None:
    """Take the next step: a page and a look three times each, for each backup that is made and deleted."""
    match turn % 8:
        case 0 if mine is None:
            new = {"backup": {"volume_id": volume, "name": f"turn {turn}"}}
            made = await asked.ask("create", "POST", "/backups", new, due_s=due_s)
            return str(made["backup"]["id"]) if "backup" in made else None
        case 7 if mine is not None:
            force = {"os-force_delete": None}
            await asked.ask("delete", "POST", f"/backups/{mine}/action", force, due_s=due_s)
            return None
        case odd if odd % 2:
            await asked.page(20, due_s=due_s)
        case _:
            await asked.ask("show", "GET", f"/backups/{mine or asked.ids[turn % len(asked.ids)]}", due_s=due_s)
    return mine


async def filled(place: Place) -> list[str]:
    """Let a daemon make its keys and its catalog, and fill that."""
    async with serving(place):
        pass
    catalog = await Catalog.open(f"sqlite:///{place.root}/state/catalog.db", SystemClock())
    ids = await catalog._run(fill)  # noqa: SLF001 - no API makes so many in a minute
    await catalog.aclose()
    return ids


async def main() -> None:
    """Fill a catalog, serve it, and print what was measured."""
    found: dict[str, Any] = {"backups": BACKUPS}
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        place = Place(Path(directory), more=_MORE)
        ids = await filled(place)
        connector = aiohttp.TCPConnector(limit=0)
        async with serving(place) as daemon, aiohttp.ClientSession(connector=connector) as session:

            def asked() -> Asked:
                return Asked(daemon.url, session, ids)

            for clients, limit in ((1, 20), (8, 20), (1, 100), (1, 1000)):
                now = asked()
                found[f"pages of {limit}, {clients} client(s)"] = await alone(
                    now, clients=clients, ask=partial(now.page, limit)
                )
            now = asked()
            found["by name, 1 client"] = await alone(now, clients=1, ask=now.by_name)
            for rate in RATES:
                found[f"{CLIENTS} clients, {rate} requests/s together"] = await under_load(
                    asked(), interval_s=CLIENTS / rate
                )
            found[f"{CLIENTS} clients, as fast as they can"] = await under_load(asked(), interval_s=0)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    asyncio.run(main())
