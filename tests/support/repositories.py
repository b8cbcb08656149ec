"""A repository read without any daemon: what a target says about its backups."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from backupd.clock import SystemClock
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.restore import RestorePipeline
from backupd.pipeline.verify import VerifyPipeline
from backupd.pipeline.workers import Workers
from backupd.repository import keyring, layout
from backupd.repository.manifest import Manifest
from backupd.repository.repository import Repository, read_description
from chunker.destinations.file import FileDestination
from targets.base import Target
from targets.local import LocalTarget
from targets.wrappers.prefix import Prefix
from tests.support.daemon import Place

MEMORY_BYTES = 32 * 1024 * 1024


async def open_existing(target: Target, key_file: Path, *, is_encrypted: bool = True) -> Repository:
    """Open the repository of the default project."""
    prefix = f"default/{'encrypted' if is_encrypted else 'plain'}/"
    keys = keyring.load(key_file)
    store = Prefix(target, prefix)
    return Repository(store, read_description(await store.get(layout.REPOSITORY), keys, is_encrypted=is_encrypted))


async def verify(repository: Repository, manifest: Manifest, workers: Workers) -> None:
    """Read everything that the backup needs."""
    await VerifyPipeline(
        manifest=manifest,
        repository=repository,
        workers=workers,
        budget=ByteBudget(MEMORY_BYTES),
        progress=ProgressMeter(SystemClock()),
    ).run()


async def restore(repository: Repository, manifest: Manifest, workers: Workers, path: Path) -> None:
    """Restore a backup to a new file."""
    await RestorePipeline(
        manifest=manifest,
        repository=repository,
        destination=FileDestination(path, manifest.size_bytes, restore_id="test"),
        workers=workers,
        budget=ByteBudget(MEMORY_BYTES),
        progress=ProgressMeter(SystemClock()),
    ).run()


@asynccontextmanager
async def working() -> AsyncIterator[Workers]:
    """Lend worker threads."""
    workers = Workers(os.cpu_count() or 1)
    try:
        yield workers
    finally:
        workers.close()


async def verify_published(place: Place) -> None:
    """Verify every backup that has a manifest on the target of a dead daemon, on a copy of it."""
    copy = place.root / "target-copy"
    shutil.copytree(place.target, copy)  # Opening a target tidies it up, which is for the daemon to do.
    target = LocalTarget(copy)
    try:
        async with working() as workers:
            repository = await open_existing(target, place.root / "state" / "master.key")
            async for backup_id in repository.backup_ids():
                manifest = await repository.manifest(backup_id)
                assert manifest is not None
                await verify(repository, manifest, workers)
    finally:
        await target.aclose()
        shutil.rmtree(copy)
