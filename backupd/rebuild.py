"""``backupd rebuild``: a lost catalog made again from the targets and the master key, all of it or nothing."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from backupd.catalog.store import Catalog
from backupd.clock import SystemClock
from backupd.config import Config
from backupd.configured_targets import open_targets
from backupd.errors import BackupdError, Conflict
from backupd.jobs.enlisting import forget_writer
from backupd.model import (
    DEFAULT_COMPRESSION_LEVEL,
    Backup,
    BackupCopy,
    BackupMode,
    BackupState,
    CopyState,
    Statistics,
    Volume,
)
from backupd.repository import keyring, layout
from backupd.repository.survey import Published, Survey, survey
from backupd.state_dir import StateDir, locked
from chunker.sources.address import Address
from targets.base import Target

UNKNOWN_SOURCE = "unknown"
_PARTIAL = "rebuild.partial"
_HOLDS = (
    "WARNING: no target knows which backups were held, nor which were taken together. No hold is left: hold again what "
    "has to stay (backupctl backup hold ID) before its volume's first new backup, after which retention deletes"
)
_log = logging.getLogger(__name__)


class NotWhole(BackupdError):
    """The catalog is there again, but not all of it is as it was; the message names what."""


async def rebuild(config: Config, *, without: Collection[str] = (), forget_writers: bool = False) -> list[str]:
    """Make the catalog of ``config`` again and return what is to be told.

    ``forget_writers``: no daemon but that of the lost catalog has written to these targets, and it is gone for good.

    NotWhole when it was made, but not all of it; Conflict when there is a catalog; KeyMissing without the key
    file. A target that does not answer fails it, since its backups would be unknown from then on, unless it is left
    out by name.
    """
    with locked(config.daemon.state_dir) as state:
        if state.catalog.exists():
            raise Conflict(f"{state.catalog} exists; expected a state directory without a catalog")
        ring = keyring.load(state.master_key)
        async with AsyncExitStack() as stack:
            opened = await open_targets(_left(config, without), SystemClock(), stack)
            targets: dict[str, Target] = {name: one.limited for name, one in opened.items()}
            found = await survey(targets, ring)
            if forget_writers:
                await _forget_writers(found)
        await _write(state, found, order=list(config.targets))
    told = _told(found)
    if found.problems:
        raise NotWhole("the catalog is made, but not all of it is as it was\n" + "\n".join(told))
    return told


async def _forget_writers(found: Survey) -> None:
    for repository in found.repositories.values():
        store = repository.target
        writers = [layout.catalog_id(info.key) async for info in store.list(layout.WRITERS)]
        for catalog_id in filter(None, writers):
            await forget_writer(store, catalog_id)


def _left(config: Config, without: Collection[str]) -> Config:
    if unknown := set(without) - set(config.targets):
        raise Conflict(f"target {min(unknown)} is not in the configuration")
    return replace(config, targets={name: one for name, one in config.targets.items() if name not in without})


async def _write(state: StateDir, found: Survey, *, order: Sequence[str]) -> None:
    """Make the database beside its place and give it its name when it is whole."""
    partial = state.path / _PARTIAL
    shutil.rmtree(partial, ignore_errors=True)  # Of an attempt that was interrupted.
    partial.mkdir(mode=0o700)
    path = partial / state.catalog.name
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    catalog = await Catalog.open(f"sqlite:///{path}", SystemClock())
    try:
        volumes = _volumes(found)
        backups = [_backup(one, order) for one in found.backups.values()]
        copies = [
            BackupCopy(one.manifest.backup_id, target, CopyState.COMPLETE)
            for one in found.backups.values()
            for target in one.targets
        ]
        await catalog.add_published(volumes, backups, copies)
    finally:
        await catalog.aclose()
    _fsync(path)
    path.rename(state.catalog)
    _fsync(state.path)
    shutil.rmtree(partial, ignore_errors=True)


def _volumes(found: Survey) -> list[Volume]:
    """Return every volume that has a backup, under the name that its newest one tells."""
    newest: dict[str, Published] = {}
    oldest: dict[str, str] = {}
    for one in sorted(found.backups.values(), key=lambda one: one.manifest.created_at):
        newest[one.manifest.volume_id] = one
        oldest.setdefault(one.manifest.volume_id, one.manifest.created_at)
    names: set[tuple[str, str]] = set()
    volumes = []
    for volume_id, one in sorted(newest.items(), key=lambda item: item[1].manifest.created_at, reverse=True):
        name = one.manifest.volume_name
        if (one.project, name) in names:  # Removed, and its name given to another one.
            name = f"{name[:119]}-{volume_id[:8]}"
            found.problems.append(f"volume {volume_id}: there is a newer one of its name; it is {name} now")
        names.add((one.project, name))
        source = str(Address(scheme=UNKNOWN_SOURCE, path=name))
        created_at = datetime.fromisoformat(oldest[volume_id])
        volumes.append(Volume(volume_id, one.project, name, source, None, created_at))
    return volumes


def _backup(published: Published, order: Sequence[str]) -> Backup:
    manifest = published.manifest
    first, *others = sorted(published.targets, key=order.index)
    return Backup(
        id=manifest.backup_id,
        project=published.project,
        volume_id=manifest.volume_id,
        name=manifest.backup_name,
        mode=BackupMode(manifest.mode),
        target=first,
        chunk_size_bytes=manifest.chunk_size_bytes,
        compression_level=DEFAULT_COMPRESSION_LEVEL,
        is_encrypted=published.is_encrypted,
        is_deduplicated=True,
        state=BackupState.AVAILABLE,
        created_at=datetime.fromisoformat(manifest.created_at),
        parent_id=manifest.parent_id,
        size_bytes=manifest.size_bytes,
        finished_at=datetime.fromisoformat(manifest.finished_at),
        full_read_reason=manifest.full_read_reason,
        statistics=Statistics(**manifest.statistics),
        copies=tuple(others),
    )


def _told(found: Survey) -> list[str]:
    volumes = {one.manifest.volume_id for one in found.backups.values()}
    lines: Iterable[str] = [f"PROBLEM: {one}" for one in found.problems]
    return [
        *lines,
        f"{len(found.backups)} backups of {len(volumes)} volumes are in the catalog again",
        *([_HOLDS] if volumes else []),
        *(["HINT: say where each volume is: backupctl volume set-source NAME --path PATH"] if volumes else []),
    ]


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
