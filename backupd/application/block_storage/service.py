"""All services of block storage together, as its API gets them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypedDict

from backupd.access import Access, Caller
from backupd.application.backups import Backups
from backupd.application.block_storage.attachments import Attachments
from backupd.application.block_storage.backups import BlockBackups
from backupd.application.block_storage.daemon_services import DaemonServices
from backupd.application.block_storage.discovery import Discovery
from backupd.application.block_storage.files import Files
from backupd.application.block_storage.managed import Managed
from backupd.application.block_storage.messages import Messages
from backupd.application.block_storage.quotas import Quotas
from backupd.application.block_storage.records import Records
from backupd.application.block_storage.snapshots import Snapshots
from backupd.application.block_storage.types import VolumeTypes
from backupd.application.block_storage.volumes import BlockVolumes
from backupd.application.paths import Paths
from backupd.application.targets import Targets
from backupd.catalog.block_storage.store import BlockStorageCatalog
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.config import Config
from backupd.errors import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockStorage:
    """One service per resource."""

    catalog: Catalog
    access: Access
    availability_zone: str
    volumes: BlockVolumes
    snapshots: Snapshots
    backups: BlockBackups
    records: Records
    attachments: Attachments
    managed: Managed
    messages: Messages
    quotas: Quotas
    types: VolumeTypes
    daemon: DaemonServices

    async def delete_volume(self, caller: Caller, volume_id: str, *, is_forced: bool, is_cascading: bool) -> None:
        """Remove a volume, with its snapshots if it ``is_cascading``. NotFound, Forbidden, InvalidRequest."""
        if is_cascading:
            volume = await self.volumes.deletable(caller, volume_id, is_forced=is_forced)
            await self.snapshots.delete_of(caller, volume.id)
        await self.volumes.delete(caller, volume_id, is_forced=is_forced)

    async def finish_deletions(self) -> None:
        """Do the rest of deletions that the daemon's end has interrupted; what cannot be done stays for the next."""
        volumes, snapshots = await self.catalog.block_storage.unfinished_deletions()
        with suppress(Unavailable):
            for volume_id in volumes:
                await self.volumes.finish_deletion(await self.catalog.block_storage.volume(None, volume_id))
            for snapshot_id in snapshots:
                await self.snapshots.finish_deletion(await self.catalog.block_storage.snapshot(None, snapshot_id))


def build_block_storage(  # noqa: PLR0913 - a composition
    *,
    catalog: Catalog,
    clock: Clock,
    config: Config,
    access: Access,
    paths: Paths,
    targets: Targets,
    backups: Backups,
    executor: Executor,
    sign: Callable[[bytes], bytes],
    wake: Callable[[], None],
) -> BlockStorage:
    """Return the services; the arguments are those of ``build_application``."""
    stored, zone = catalog.block_storage, config.block_storage.availability_zone
    quotas = Quotas(catalog=stored, access=access, config=config.quotas)
    types = VolumeTypes(catalog=catalog, access=access, config=config)
    files = Files(directory=config.block_storage.volumes_dir, executor=executor)
    common = _Common(catalog=stored, clock=clock, access=access, quotas=quotas)
    volumes = BlockVolumes(**common, types=types, files=files, availability_zone=zone, wake=wake)
    on_catalog = _OnCatalog(catalog=catalog, clock=clock, access=access, quotas=quotas)
    block_backups = BlockBackups(**on_catalog, backups=backups, volumes=volumes, paths=paths, wake=wake)
    managed = Managed(
        **common,
        types=types,
        paths=paths,
        files=files,
        volumes=volumes,
        sources=paths.sources,
        discovery=Discovery(roots=config.paths.sources, sources=paths.sources, clock=clock, executor=executor),
    )
    return BlockStorage(
        catalog=catalog,
        access=access,
        availability_zone=zone,
        volumes=volumes,
        snapshots=Snapshots(**common, files=files, wake=wake),
        backups=block_backups,
        records=Records(**on_catalog, targets=targets, backups=block_backups, sign=sign, wake=wake),
        attachments=Attachments(catalog=stored, clock=clock, access=access),
        managed=managed,
        messages=Messages(catalog=stored, access=access),
        quotas=quotas,
        types=types,
        daemon=DaemonServices(clock=clock, access=access),
    )


class _Common(TypedDict):
    catalog: BlockStorageCatalog
    clock: Clock
    access: Access
    quotas: Quotas


class _OnCatalog(TypedDict):
    catalog: Catalog
    clock: Clock
    access: Access
    quotas: Quotas
