"""Two hundred clients at once on SQLite: nothing fails for the server's reasons, and no change is lost."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from backupd.clock import SystemClock
from bench.cinder_lists import Asked, filled, under_load
from tests.support.daemon import Daemon, Place, serving

pytestmark = pytest.mark.timeout(170)

_CLIENTS = 200
_ROUNDS = 3
_REQUESTS_PER_S = 40
_MORE = """
[backup_types.standard]
target = "local"
[policy]
default_backup_type = "standard"
[block_storage]
volumes_dir = "{root}/volumes"
[quotas]
backups = 150
volumes = -1
gigabytes = -1
"""
_HEADERS = {"OpenStack-API-Version": "volume 3.71"}


class Client:
    """One of many; ``statuses`` are all that it has seen."""

    def __init__(self, number: int, url: str, session: aiohttp.ClientSession) -> None:
        self._number = number
        self._url = f"{url}/v3/web"
        self._session = session
        self.statuses: list[int] = []

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self._session.request(method, self._url + path, json=body, headers=_HEADERS) as response:
            self.statuses.append(response.status)
            return response.status, await response.json(content_type=None) if response.content_length else None

    async def run(self) -> None:
        """Make a backup if the quota has room, change it and see the change, look at the list, delete it."""
        _, made = await self.ask("POST", "/volumes", {"volume": {"size": 1}})
        new = {"backup": {"volume_id": made["volume"]["id"], "name": "first"}}
        status, made = await self.ask("POST", "/backups", new)
        assert status in (202, 413)
        for turn in range(_ROUNDS):
            status, page = await self.ask("GET", "/backups?limit=20")
            assert (status, len(page["backups"]) <= 20) == (200, True)
            if "backup" in made:
                await self._rename(made["backup"]["id"], f"{self._number}-{turn}")
        if "backup" in made:
            await self.ask("POST", f"/backups/{made['backup']['id']}/action", {"os-force_delete": None})

    async def _rename(self, backup_id: str, name: str) -> None:
        assert (await self.ask("PUT", f"/backups/{backup_id}", {"backup": {"name": name}}))[0] == 200
        _, found = await self.ask("GET", f"/backups/{backup_id}")
        assert found["backup"]["name"] == name


async def none_left(daemon: Daemon) -> None:
    """Return when every backup is gone."""
    clock = SystemClock()
    while (await daemon.get("/v3/web/backups"))["backups"]:
        await clock.sleep(0.1)


async def test_two_hundred_clients_at_once_lose_nothing(tmp_path: Path) -> None:
    connector = aiohttp.TCPConnector(limit=_CLIENTS)
    async with (
        serving(Place(tmp_path, more=_MORE)) as daemon,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        clients = [Client(number, daemon.url, session) for number in range(_CLIENTS)]
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.run())
        seen = [status for client in clients for status in client.statuses]
        assert max(seen) < 500
        assert seen.count(413) <= _CLIENTS - 150  # Fewer, since who has deleted one makes room for another.
        await none_left(daemon)
        absolute = (await daemon.get("/v3/web/limits"))["limits"]["absolute"]
        assert (absolute["totalBackupsUsed"], absolute["totalBackupGigabytesUsed"]) == (0, 0)
        assert absolute["totalVolumesUsed"] == _CLIENTS


async def test_a_minute_of_two_hundred_clients_beside_a_long_list(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """How quick a page is hangs on the machine and on who else is on it: that is told, and not asserted."""
    place = Place(tmp_path, more=_MORE.replace("backups = 150", "backups = -1"))
    ids = await filled(place)
    connector = aiohttp.TCPConnector(limit=0)
    async with serving(place) as daemon, aiohttp.ClientSession(connector=connector) as session:
        asked = Asked(daemon.url, session, ids)
        found = await under_load(asked, interval_s=_CLIENTS / _REQUESTS_PER_S)
        record_property("minute", found)
        sys.stdout.write(json.dumps(found))  # pytest -rP shows it.
        assert max(asked.statuses) < 500
        assert asked.statuses[400] < asked.statuses[202]  # Some come while their volume is still being backed up.
        absolute = (await daemon.get("/v3/web/limits"))["limits"]["absolute"]
        assert absolute["totalVolumesUsed"] == _CLIENTS
