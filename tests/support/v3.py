"""``/v3`` of a world, as a client asks it: statuses and documents, with the test in the place of the worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from backupd.api import Identity, build_app
from backupd.application.backup_types import NewBackupType
from backupd.config import BlockStorageConfig, PolicyConfig, QuotasConfig
from backupd.model import BackupResult, Failure, Job, JobKind, JobState, Statistics
from tests.support.world import World, open_world

PROJECT = "web"
LATEST = "3.71"
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: Any
    headers: Any

    @property
    def message(self) -> str:
        """The message of a fault."""
        (fault,) = self.body.values()
        return str(fault["message"])


@dataclass(slots=True)
class V3:
    """One API, asked at ``version`` with ``token``."""

    world: World
    client: TestClient[web.Request, web.Application]
    version: str | None = LATEST
    token: str | None = f"user:{PROJECT}"
    prefix: str = "/v3"

    def at(self, version: str | None) -> V3:
        """Return the same API asked at another version."""
        return V3(self.world, self.client, version, self.token, self.prefix)

    def as_(self, token: str | None) -> V3:
        """Return the same API asked with another token."""
        return V3(self.world, self.client, self.version, token, self.prefix)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Return whatever the answer is."""
        if self.version is not None:
            headers.setdefault("OpenStack-API-Version", f"volume {self.version}")
        if self.token is not None:
            headers.setdefault("X-Auth-Token", self.token)
        async with self.client.request(method, f"{self.prefix}{path}", json=body, headers=headers) as response:
            text = await response.text()
            found = await response.json(content_type=None) if text else None
            return Answer(response.status, found, response.headers)

    async def get(self, path: str) -> Any:
        """Return what must be there."""
        answer = await self.ask("GET", path)
        assert answer.status == 200, answer
        return answer.body

    async def post(self, path: str, body: Any) -> Any:
        """Return the answer to what must be taken."""
        answer = await self.ask("POST", path, body)
        assert 200 <= answer.status < 300, answer
        return answer.body

    async def refused(self, path: str, body: Any, *, method: str = "POST") -> tuple[int, str]:
        """Return status and message of what must be refused."""
        answer = await self.ask(method, path, body)
        assert answer.status >= 400, answer
        return answer.status, answer.message

    async def add_volume(self, size: int = 1, **fields: Any) -> str:
        """Make a volume and return its id."""
        return str((await self.post("/volumes", {"volume": {"size": size, **fields}}))["volume"]["id"])

    async def start_backup(self, volume_id: str, **fields: Any) -> str:
        """Start a backup and return its id."""
        self.world.clock.advance(1)
        return str((await self.post("/backups", {"backup": {"volume_id": volume_id, **fields}}))["backup"]["id"])

    async def add_backup(self, volume_id: str, **fields: Any) -> str:
        """Make a backup that is available and return its id."""
        backup_id = await self.start_backup(volume_id, **fields)
        await self.work()
        return backup_id

    async def work(self) -> Job:
        """Do the oldest job, successfully."""
        job = await self.world.claim_job()
        catalog = self.world.catalog
        if job.kind in (JobKind.BACKUP, JobKind.IMPORT):
            backup = await catalog.block_storage.backup(None, job.of_backup)
            result = BackupResult(backup.details.size_bytes or 0, backup.parent_id, None, Statistics(packs=1))
            await catalog.publish_backup(job.of_backup, job_id=job.id, fence=job.fence, result=result)
        elif job.kind is JobKind.DELETE:
            await catalog.finish_delete(job.of_backup, job_id=job.id, fence=job.fence)
        await self.world.end_job(job, JobState.SUCCEEDED)
        return job

    async def fail(self, code: str) -> None:
        """Let the oldest job fail."""
        failure = Failure(code, "/srv/secret/path cannot be read")
        await self.world.end_job(await self.world.claim_job(), JobState.FAILED, failure)

    async def backup(self, backup_id: str) -> Any:
        """Return one backup."""
        return (await self.get(f"/backups/{backup_id}"))["backup"]

    async def volume(self, volume_id: str) -> Any:
        """Return one volume."""
        return (await self.get(f"/volumes/{volume_id}"))["volume"]


@asynccontextmanager
async def serve_v3(directory: Path, identity: Identity | None = None, **sections: Any) -> AsyncIterator[V3]:
    """Serve a new world with a default type and a place for volumes; ``sections`` are of its configuration."""
    async with open_world(directory) as world:
        await world.application.backup_types.add(NewBackupType(name="standard", target="local"))
        defaults = {
            "policy": PolicyConfig(default_backup_type="standard"),
            "block_storage": BlockStorageConfig(volumes_dir=directory / "volumes"),
            "quotas": QuotasConfig(),
            "rules": MappingProxyType({}),
        }
        application = world.configured(**defaults | sections)
        app = build_app(application, health=dict, clock=world.clock, executor=world.executor, identity=identity)
        async with TestClient(TestServer(app)) as client:
            yield V3(world, client)
