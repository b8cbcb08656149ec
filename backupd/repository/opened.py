"""The repositories that this daemon has open, each opened once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from backupd.clock import Clock
from backupd.errors import ConfigError
from backupd.repository import layout
from backupd.repository.index import ChunkIndex
from backupd.repository.keyring import Keyring
from backupd.repository.repository import Repository, open_repository
from targets.base import Target
from targets.wrappers.prefix import Prefix

_Name = tuple[str, str, bool]


class Repositories:
    """Opens repositories and their chunk indexes on first use and keeps them until ``close``."""

    def __init__(self, targets: Mapping[str, Target], keyring: Keyring, clock: Clock, index_dir: Path) -> None:
        self._targets = targets
        self._keyring = keyring
        self._clock = clock
        self._index_dir = index_dir
        self._repositories: dict[_Name, Repository] = {}
        self._indexes: dict[bytes, ChunkIndex] = {}
        self._locks: dict[_Name | bytes, asyncio.Lock] = {}

    async def open(self, project: str, target: str, *, is_encrypted: bool, create: bool = False) -> Repository:
        """Return the repository of a project on a target. ConfigError when no such target is configured."""
        name = (project, target, is_encrypted)
        async with self._lock(name):
            if name not in self._repositories:
                if target not in self._targets:
                    known = ", ".join(sorted(self._targets)) or "none"
                    raise ConfigError(f"target {target!r} is not in the configuration any more; it has {known}")
                self._repositories[name] = await open_repository(
                    Prefix(self._targets[target], layout.prefix(project, is_encrypted=is_encrypted)),
                    self._keyring,
                    is_encrypted=is_encrypted,
                    created_at=self._clock.now().isoformat(),
                    create=create,
                )
        return self._repositories[name]

    async def index(self, repository: Repository) -> ChunkIndex:
        """Return the chunk index of a repository."""
        repository_id = repository.keys.repository_id
        async with self._lock(repository_id):
            if repository_id not in self._indexes:
                path = self._index_dir / f"{repository_id.hex()}.db"
                self._indexes[repository_id] = await asyncio.to_thread(ChunkIndex, path)
        return self._indexes[repository_id]

    def _lock(self, opened: _Name | bytes) -> asyncio.Lock:
        """Return the lock that keeps one thing from being opened twice; others are not kept waiting."""
        return self._locks.setdefault(opened, asyncio.Lock())

    def close(self) -> None:
        """Release the indexes; the targets belong to the caller."""
        for index in self._indexes.values():
            index.close()
        self._indexes.clear()
