"""The real API of a world, on a port of this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from backupd.api import Tokens, build_app
from tests.support.world import World, open_world

HEALTH = {"status": "ok", "version": "1.2.3"}


@dataclass(frozen=True, slots=True)
class Served:
    """A world, a client of its API, and the paths that were asked for."""

    world: World
    client: TestClient[web.Request, web.Application]
    asked: list[str]
    asking: asyncio.Condition

    async def asked_for(self, beginning: str) -> None:
        """Return when the API has been asked for a path with that beginning."""
        async with self.asking:
            await self.asking.wait_for(lambda: any(path.startswith(beginning) for path in self.asked))

    @property
    def url(self) -> str:
        return str(self.client.make_url("")).rstrip("/")

    async def get(self, path: str) -> Any:
        """Return the document at ``path``, which must be there."""
        async with self.client.get(path) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Return the status and the document."""
        async with self.client.post(path, json=body) as response:
            return response.status, await response.json(content_type=None)

    async def patch(self, path: str, body: Any) -> tuple[int, Any]:
        """Return the status and the document."""
        async with self.client.patch(path, json=body) as response:
            return response.status, await response.json(content_type=None)

    async def delete(self, path: str) -> tuple[int, Any]:
        """Return the status and the document, None when there is none."""
        async with self.client.delete(path) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None


@asynccontextmanager
async def serve(directory: Path, tokens: Tokens | None = None) -> AsyncIterator[Served]:
    """Serve a new world in ``directory``."""
    async with open_world(directory) as world:
        app = build_app(
            world.application,
            health=lambda: HEALTH,
            clock=world.clock,
            executor=world.executor,
            identity=tokens,
        )
        asked: list[str] = []
        asking = asyncio.Condition()

        async def note(request: web.Request, _: web.StreamResponse) -> None:
            async with asking:
                asked.append(request.path)
                asking.notify_all()

        app.on_response_prepare.append(note)
        async with TestClient(TestServer(app)) as client:
            yield Served(world, client, asked, asking)
