"""All services together, as the APIs get them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from backupd.access import Access
from backupd.application.available import AvailableBackups
from backupd.application.backup_types import BackupTypes
from backupd.application.backups import Backups
from backupd.application.block_storage.quotas import Quotas
from backupd.application.block_storage.service import BlockStorage, build_block_storage
from backupd.application.capabilities import Capabilities
from backupd.application.collections import Collections
from backupd.application.condition import Conditions
from backupd.application.copies import Copies
from backupd.application.jobs import Jobs
from backupd.application.paths import Paths
from backupd.application.policy import Policy
from backupd.application.restores import Restores
from backupd.application.retention import Retention
from backupd.application.targets import Targets
from backupd.application.verifications import Verifications
from backupd.application.volumes import Volumes
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.config import Config
from backupd.model import Progress
from chunker.sources.open import Sources
from targets.wrappers.observe import Observe


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One service per resource."""

    volumes: Volumes
    backup_types: BackupTypes
    targets: Targets
    backups: Backups
    retention: Retention
    restores: Restores
    verifications: Verifications
    copies: Copies
    condition: Conditions
    collections: Collections
    jobs: Jobs
    block_storage: BlockStorage
    capabilities: Capabilities
    access: Access


def build_application(
    *,
    catalog: Catalog,
    clock: Clock,
    config: Config,
    sources: Sources,
    observed: Mapping[str, Observe],
    executor: Executor,
    wake: Callable[[], None],
    sign: Callable[[bytes], bytes],
    live_progress: Callable[[str], Progress | None] = lambda _: None,
) -> Application:
    """Return the services.

    ``sources`` are the kinds that are allowed; ``observed`` has one entry per configured target; ``executor``
    (its owner shuts it down) runs what may block; ``wake`` nudges the job worker, must not block and may be
    called too often; ``sign`` signs backup records; ``live_progress`` knows how far a job is that runs here.
    """
    targets = Targets(catalog=catalog, config=config.targets, observed=observed)
    paths = Paths(config=config.paths, sources=sources, executor=executor, made=config.made_paths)
    access, policy = Access(config.rules), Policy(catalog=catalog, config=config)
    quotas = Quotas(catalog=catalog.block_storage, access=access, config=config.quotas)
    backups = Backups(
        catalog=catalog,
        clock=clock,
        paths=paths,
        targets=targets,
        policy=policy,
        quotas=quotas,
        executor=executor,
        wake=wake,
    )
    available = AvailableBackups(catalog=catalog, clock=clock, targets=targets)
    return Application(
        volumes=Volumes(catalog=catalog, clock=clock, paths=paths, policy=policy),
        backup_types=BackupTypes(catalog=catalog, clock=clock, targets=targets, config=config),
        targets=targets,
        backups=backups,
        retention=Retention(catalog=catalog, clock=clock, config=config, policy=policy, backups=backups),
        restores=Restores(catalog=catalog, available=available, paths=paths, wake=wake),
        verifications=Verifications(catalog=catalog, available=available, wake=wake),
        copies=Copies(catalog=catalog, clock=clock, targets=targets, available=available, wake=wake),
        condition=Conditions(catalog=catalog, clock=clock, targets=targets, wake=wake),
        collections=Collections(catalog=catalog, clock=clock, targets=targets, wake=wake),
        jobs=Jobs(catalog=catalog, wake=wake, live_progress=live_progress),
        block_storage=build_block_storage(
            catalog=catalog,
            clock=clock,
            config=config,
            access=access,
            paths=paths,
            targets=targets,
            backups=backups,
            executor=executor,
            sign=sign,
            wake=wake,
        ),
        capabilities=Capabilities(config=config, targets=targets),
        access=access,
    )
