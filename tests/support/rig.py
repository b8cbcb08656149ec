"""A repository over a counted memory target, and pipelines over it: what the pipeline's own tests stand on."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from backupd.clock import SystemClock
from backupd.model import Statistics
from backupd.pipeline import changes
from backupd.pipeline.backup import BackupOptions, BackupPipeline
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.changes import Reading
from backupd.pipeline.pack_ids import PackIds
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.restore import RestorePipeline
from backupd.pipeline.stored import StoredChunks
from backupd.pipeline.verify import VerifyPipeline
from backupd.pipeline.workers import Workers
from backupd.repository import layout
from backupd.repository.index import ChunkIndex
from backupd.repository.keyring import Keyring
from backupd.repository.manifest import Manifest
from backupd.repository.repository import Repository, new_description, read_description
from chunker.destinations.base import Destination
from chunker.destinations.open import open_destination
from chunker.extents import Extent
from chunker.node import Pointer
from chunker.sources.base import Changes, ParentPoint, PointInTime
from targets.base import Target
from targets.errors import ObjectNotFound
from targets.memory import MemoryTarget
from targets.wrappers.observe import Observe

BUDGET_BYTES = 32 * 1024 * 1024
TIME = "2026-11-24T03:00:00+00:00"


class CountedPoint:
    """A point in time that counts what is read from it."""

    def __init__(self, inner: PointInTime) -> None:
        self._inner = inner
        self.read_calls = 0
        self.read_bytes = 0
        self.token = inner.token

    @property
    def size_bytes(self) -> int:
        return self._inner.size_bytes

    @property
    def identity(self) -> str:
        return self._inner.identity

    def changed_since(self, parent: ParentPoint) -> Changes:
        return self._inner.changed_since(parent)

    def data_extents(self, within: Extent) -> Iterator[Extent]:
        return self._inner.data_extents(within)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        self.read_calls += 1
        self.read_bytes += len(buffer)
        self._inner.read_into(offset_bytes, buffer)

    def check(self) -> None:
        self._inner.check()

    def commit(self) -> None:
        self._inner.commit()

    def rollback(self) -> None:
        self._inner.rollback()

    def close(self) -> None:
        self._inner.close()


def pack_ids() -> PackIds:
    """Return ids that nobody remembers: there is no job."""

    async def record(ids: Sequence[bytes]) -> None:
        assert {len(pack_id) for pack_id in ids} == {16}

    return PackIds(record)


@dataclass(slots=True)
class Rig:
    """Everything that a pipeline needs; ``observed.counters`` has what the target was asked."""

    target: Target
    observed: Observe
    repository: Repository
    workers: Workers
    budget: ByteBudget
    index: ChunkIndex | None
    chunk_size_bytes: int
    compression_level: int

    async def back_up(self, point: PointInTime, reading: Reading | None = None) -> tuple[Manifest, Statistics]:
        """Back up and publish."""
        reading = reading or changes.everything(point)
        pipeline = self.pipeline(point, reading)
        tree = await pipeline.run()
        statistics = pipeline.statistics(duration_s=0.0, requests=self.observed.counters.requests)
        manifest = self.manifest(point, tree.root)
        await self.repository.publish(manifest)
        return manifest, statistics

    def pipeline(self, point: PointInTime, reading: Reading) -> BackupPipeline:
        return BackupPipeline(
            source=point,
            changed=reading.extents,
            parent=reading.base,
            repository=self.repository,
            options=BackupOptions(self.chunk_size_bytes, self.compression_level),
            workers=self.workers,
            budget=self.budget,
            progress=ProgressMeter(SystemClock()),
            stored=StoredChunks(self.repository, self.workers, self.index, pack_ids()),
        )

    def manifest(self, point: PointInTime, root: Pointer | None) -> Manifest:
        return Manifest(
            backup_id=str(uuid.uuid4()),
            backup_name="",
            volume_id="",
            volume_name="",
            mode="full",
            parent_id=None,
            full_read_reason=None,
            created_at=TIME,
            finished_at=TIME,
            size_bytes=point.size_bytes,
            chunk_size_bytes=self.chunk_size_bytes,
            root=root,
            source_identity=point.identity,
            source_token=point.token,
            statistics={},
        )

    async def restore(self, manifest: Manifest, path: Path) -> bytes:
        """Restore to ``path`` and return its bytes."""
        destination = open_destination(path, manifest.size_bytes, restore_id=str(uuid.uuid4()))
        await self.restore_to(manifest, destination)
        return path.read_bytes()

    async def restore_to(self, manifest: Manifest, destination: Destination) -> None:
        await RestorePipeline(
            manifest=manifest,
            repository=self.repository,
            destination=destination,
            workers=self.workers,
            budget=self.budget,
            progress=ProgressMeter(SystemClock()),
        ).run()

    async def verify(self, manifest: Manifest) -> None:
        await VerifyPipeline(
            manifest=manifest,
            repository=self.repository,
            workers=self.workers,
            budget=self.budget,
            progress=ProgressMeter(SystemClock()),
        ).run()


def changed(*extents: tuple[int, int], base: Manifest) -> Reading:
    """Read only ``extents`` (offset, length), on top of an earlier backup."""
    return Reading(tuple(Extent(offset, length) for offset, length in extents), base.tree)


async def _opened(store: Target, keyring: Keyring, *, is_encrypted: bool) -> Repository:
    """Open the repository on ``store``, made when there is none."""
    try:
        body = await store.get(layout.REPOSITORY)
    except ObjectNotFound:
        body = new_description(keyring, is_encrypted=is_encrypted, created_at=TIME)
        await store.put(layout.REPOSITORY, body, if_absent=True)
    return Repository(store, read_description(body, keyring, is_encrypted=is_encrypted))


@asynccontextmanager
async def rig(
    *,
    target: Target | None = None,
    wrap: Callable[[Target], Target] = lambda inner: inner,
    chunk_size_bytes: int = 64 * 1024,
    compression_level: int = 3,
    is_encrypted: bool = True,
    index_path: Path | None = None,
    master_keys: Sequence[bytes] = (bytes(range(32)),),
) -> AsyncIterator[Rig]:
    """Open a repository on ``target``; ``wrap`` goes around everything that the repository asks of it."""
    target = target or MemoryTarget()
    observed = Observe(wrap(target))
    keyring = Keyring(list(master_keys), origin="test")
    repository = await _opened(observed, keyring, is_encrypted=is_encrypted)
    workers = Workers(2)
    index = ChunkIndex(index_path) if index_path else None
    made = Rig(
        target,
        observed,
        repository,
        workers,
        ByteBudget(BUDGET_BYTES),
        index,
        chunk_size_bytes=chunk_size_bytes,
        compression_level=compression_level,
    )
    try:
        yield made
        assert made.budget.used_bytes == 0, "buffers were not given back"
    finally:
        workers.close()
        if index is not None:
            index.close()
