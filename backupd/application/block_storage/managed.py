"""Managed volumes: devices and images that are there already and that the configuration allows."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from backupd.access import Access, Caller
from backupd.application.block_storage.files import Files
from backupd.application.block_storage.quotas import Quotas
from backupd.application.block_storage.types import VolumeTypes
from backupd.application.block_storage.volumes import BlockVolumes
from backupd.application.paths import Paths
from backupd.block_storage import BlockVolume, VolumeDetails, VolumeStatus, gib
from backupd.catalog.block_storage.store import BlockStorageCatalog
from backupd.clock import Clock
from backupd.config import PathsConfig
from backupd.errors import InvalidRequest
from backupd.model import Volume
from chunker.sources.address import Address
from chunker.sources.open import Sources

_FOUND_MAX = 10_000
_DEPTH_MAX = 4
_ANSWER_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewManaged:
    """A request to manage what is at ``reference``."""

    reference: str
    name: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    volume_type: str | None = None
    is_bootable: bool = False


@dataclass(frozen=True, slots=True)
class Manageable:
    """Something that could be managed, or is."""

    reference: str
    size_bytes: int
    is_managed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """Finds, takes over and lets go; only for administrators, who see paths."""

    catalog: BlockStorageCatalog
    clock: Clock
    access: Access
    quotas: Quotas
    types: VolumeTypes
    paths: Paths
    allowed: PathsConfig
    files: Files
    volumes: BlockVolumes
    sources: Sources
    executor: Executor

    async def manage(self, caller: Caller, new: NewManaged) -> BlockVolume:
        """Return the volume. Forbidden, InvalidRequest, QuotaExceeded."""
        self.access.require(caller, "volume_extension:volume_manage")
        source = await self.paths.check_address(new.reference)
        if source in await self.catalog.known_sources():
            raise InvalidRequest(f"Unable to manage existing volume. Volume {new.reference} already managed.")
        size_bytes = await self._size_bytes(source)
        if not size_bytes:
            raise InvalidRequest(f"Invalid volume: what is at {new.reference} has no size.")
        volume_id = str(uuid4())
        details = VolumeDetails(
            user_id=caller.user_id,
            name=new.name,
            description=new.description,
            size_bytes=size_bytes,
            metadata=dict(new.metadata),
            is_bootable=new.is_bootable,
        )
        volume = Volume(
            id=volume_id,
            project=caller.project,
            name=volume_id,
            source=source,
            backup_type_id=await self.types.id_of(caller.project, new.volume_type),
            created_at=self.clock.now(),
        )
        charges = await self.quotas.check(caller.project, {"volumes": 1, "gigabytes": gib(size_bytes)})
        await self.catalog.add_volume(volume, details, charges)
        return await self.catalog.volume(caller.project, volume_id)

    async def unmanage(self, caller: Caller, volume_id: str) -> None:
        """Forget a volume and leave what it is of as it is. Forbidden, NotFound, InvalidRequest."""
        self.access.require(caller, "volume_extension:volume_unmanage")
        volume = await self.catalog.volume(caller.scope, volume_id)
        if volume.status is not VolumeStatus.AVAILABLE or volume.details.is_made:
            raise InvalidRequest(f"Invalid volume: Volume {volume.id} must be available and one that is managed.")
        await self.volumes.forget(volume)

    async def manageable(self, caller: Caller) -> list[Manageable]:
        """Return what is there of files and devices below the configured directories, the managed ones too."""
        self.access.require(caller, "volume_extension:volume_manage")
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            found = await asyncio.get_running_loop().run_in_executor(
                self.executor, lambda: list(_discovered(self.allowed.sources))
            )
        known = await self.catalog.known_sources()
        return [Manageable(path, size, str(Address.of_path(path)) in known) for path, size in found]

    async def _size_bytes(self, source: str) -> int | None:
        address = Address.parse(source)
        if address.kind == "file":
            return await self.files.size_bytes(address.path)
        return await self.files.measured(lambda: _measured(self.sources, source))


def _measured(sources: Sources, source: str) -> int:
    point = sources.open(source, allow_live=True).open()
    try:
        return point.size_bytes
    finally:
        point.close()


def _discovered(roots: tuple[Path, ...]) -> Iterator[tuple[str, int]]:
    """Yield path and size of each regular file and block device; links and hidden files are passed over."""
    count = 0
    for root in roots:
        for directory, folders, names in os.walk(root):
            depth = len(Path(directory).relative_to(root).parts)
            folders[:] = sorted(name for name in folders if not name.startswith(".")) if depth < _DEPTH_MAX else []
            for name in sorted(names):
                if not name.startswith(".") and (size := _size_bytes(path := f"{directory}/{name}")):
                    yield path, size
                    count += 1
                    if count >= _FOUND_MAX:
                        return


def _size_bytes(path: str) -> int:
    try:
        mode = os.lstat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            return 0
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return 0
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    except OSError:
        return 0
    finally:
        os.close(descriptor)
