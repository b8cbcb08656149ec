"""What the bodies of jobs work with, around a target and a source that the test decides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.config import AuditConfig
from backupd.jobs.resources import Resources
from backupd.pipeline.workers import Workers
from backupd.repository.keyring import Keyring
from backupd.repository.opened import Repositories
from chunker.sources.base import Source
from targets.base import Target

JOB_MEMORY_BYTES = 32 * 1024 * 1024


@asynccontextmanager
async def job_resources(
    directory: Path,
    catalog: Catalog,
    clock: Clock,
    *,
    target: Target,
    source: Source,
    audit: AuditConfig | None = None,
) -> AsyncIterator[Resources]:
    """Lend resources whose only target is ``local`` and whose every volume is ``source``."""
    keyring = Keyring([bytes(range(32))], origin="test")
    repositories = Repositories({"local": target}, keyring, clock, directory)
    workers = Workers(2)
    try:
        yield Resources(
            catalog=catalog,
            clock=clock,
            repositories=repositories,
            workers=workers,
            open_source=lambda _volume: source,
            check_destination=lambda _path, _overwrite: None,
            check_overwritable=lambda _path: None,
            job_memory_bytes=JOB_MEMORY_BYTES,
            audit=audit or AuditConfig(),
        )
    finally:
        workers.close()
        repositories.close()
