"""Catalogs for tests: quick to open, and one that tells what was written and fails on demand."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from backupd.catalog import schema
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.errors import CatalogError
from backupd.model import Failure, JobState, Progress


class WatchedCatalog(Catalog):
    """``writes`` tells each write of a worker once it is done; those named in ``broken`` fail instead.

    A claim that was made is handed out only while ``may_hand_out`` is set, as it is at first.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.writes: asyncio.Queue[str] = asyncio.Queue(maxsize=1000)
        self.broken: set[str] = set()
        self.may_hand_out = asyncio.Event()
        self.may_hand_out.set()

    def forget_writes(self) -> None:
        """Begin anew: what was written until now was the test's own."""
        while not self.writes.empty():
            self.writes.get_nowait()

    async def wrote(self, expected: str) -> None:
        """Return when ``expected`` was written; what was written before it is skipped."""
        while await self.writes.get() != expected:
            pass

    async def claim_job(self, owner: str, lease_s: float, **options: Any) -> Any:
        self._check("claim")
        job = await super().claim_job(owner, lease_s, **options)
        self.writes.put_nowait("claim" if job is not None else "no job")
        await self.may_hand_out.wait()
        return job

    async def heartbeat(self, job_id: str, fence: int, lease_s: float, progress: Progress) -> JobState:
        self._check("heartbeat")
        state = await super().heartbeat(job_id, fence, lease_s, progress)
        self.writes.put_nowait("heartbeat")
        return state

    async def release_job(self, job_id: str, fence: int) -> None:
        await super().release_job(job_id, fence)
        self.writes.put_nowait("release")

    async def finish_job(
        self, job_id: str, fence: int, state: JobState, failure: Failure | None, progress: Progress
    ) -> None:
        self._check("finish")
        await super().finish_job(job_id, fence, state, failure, progress)
        self.writes.put_nowait(f"finish {state}")

    def _check(self, what: str) -> None:
        if what in self.broken:
            self.writes.put_nowait(f"no {what}")
            raise CatalogError("the disk is full")


@asynccontextmanager
async def open_catalog(path: Path, clock: Clock) -> AsyncIterator[WatchedCatalog]:
    """Open the catalog at ``path``, a new one if there is none."""
    if not path.exists():
        path.write_bytes(_empty())
    catalog = await WatchedCatalog.open(f"sqlite:///{path}", clock)
    try:
        yield catalog
    finally:
        await catalog.aclose()


@functools.cache
def _empty() -> bytes:
    """Return a database that has the tables and nothing else: migrating one for each test takes too long."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "empty.sqlite"
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            schema.upgrade(connection)
        engine.dispose()
        return path.read_bytes()
