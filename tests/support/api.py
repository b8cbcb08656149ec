"""The daemon's HTTP API as a test uses it: what must work is asserted, what may fail is returned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from backupd.clock import SystemClock

CHUNK_SIZE_BYTES = 64 * 1024
_POLL_INTERVAL_S = 0.02
_FINAL = ("succeeded", "failed", "cancelled")


class Api:
    """One session with the daemon at ``url``."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session
        self._clock = SystemClock()

    async def get(self, path: str) -> Any:
        """Return the document at ``path``, which must be there."""
        async with self._session.get(self.url + path) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def ask(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Post and return the status and the document."""
        async with self._session.post(self.url + path, json=body) as response:
            return response.status, await response.json(content_type=None)

    async def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Post what must be taken and return the document."""
        status, document = await self.ask(path, body)
        assert 200 <= status < 300, document
        return document

    async def add_volume(self, path: Path, *, name: str = "", **policy: Any) -> str:
        """Register a file or device under a name, with a backup type of its own; return the name."""
        name = name or path.stem
        allow_live = policy.pop("allow_live", False)
        return await self._add_volume(name, {"path": str(path), "allow_live": allow_live}, policy)

    async def add_source(self, source: str, *, name: str, **policy: Any) -> str:
        """Register the volume at an address, as ``add_volume`` does."""
        return await self._add_volume(name, {"source": source}, policy)

    async def _add_volume(self, name: str, where: dict[str, Any], policy: dict[str, Any]) -> str:
        backup_type = {"name": name, "target": "local", "chunk_size_bytes": CHUNK_SIZE_BYTES} | policy
        await self.post("/v1/backup-types", backup_type)
        await self.post("/v1/volumes", {"name": name, "backup_type": name} | where)
        return name

    async def start_backup(self, volume: str, **request: Any) -> Any:
        """Start a backup and return its job."""
        return (await self.post("/v1/backups", {"volume": volume, **request}))["job"]

    async def back_up(self, volume: str, **request: Any) -> Any:
        """Take a backup that must succeed and return it."""
        job = await self.succeeded(await self.start_backup(volume, **request))
        return await self.get(f"/v1/backups/{job['backup_id']}")

    async def back_up_group(self, volumes: Sequence[str], **request: Any) -> list[Any]:
        """Take backups of one instant, which must succeed, and return them in the order of the volumes."""
        started = await self.post("/v1/backup-groups", {"volumes": list(volumes), **request})
        await self.succeeded(started["job"])
        return [await self.get(f"/v1/backups/{one['id']}") for one in started["backups"]]

    async def start_restore(self, backup: Any, path: Path, **request: Any) -> Any:
        """Start a restore and return its job."""
        body = {"backup": backup["id"], "path": str(path), **request}
        return (await self.post("/v1/restores", body))["job"]

    async def restore(self, backup: Any, path: Path, **request: Any) -> Path:
        """Restore what must succeed and return the path."""
        await self.succeeded(await self.start_restore(backup, path, **request))
        return path

    async def verify(self, backup: Any) -> Any:
        """Return the job of a verification when it has ended."""
        return await self.ended((await self.post("/v1/verifications", {"backup": backup["id"]}))["job"])

    async def delete(self, backup: Any) -> None:
        """Delete a backup, which must succeed."""
        async with self._session.delete(f"{self.url}/v1/backups/{backup['id']}") as response:
            assert response.status == 202, await response.text()
            await self.succeeded((await response.json())["job"])

    async def ended(self, job: Any) -> Any:
        """Return the job when it has ended, however it did."""
        while job["state"] not in _FINAL:
            await self._clock.sleep(_POLL_INTERVAL_S)
            job = await self.get(f"/v1/jobs/{job['id']}")
        return job

    async def succeeded(self, job: Any) -> Any:
        """Return the job when it has succeeded, as it must."""
        job = await self.ended(job)
        assert job["state"] == "succeeded", job
        return job

    async def progressed(self, job: Any) -> Any:
        """Return the job once it has done something."""
        while not job["progress"]["done_bytes"]:
            assert job["state"] not in _FINAL, job
            await self._clock.sleep(_POLL_INTERVAL_S)
            job = await self.get(f"/v1/jobs/{job['id']}")
        return job
