"""``make bench-collect``: what a collection asks of its target, and takes of memory and time.

The repository is made for it: real nodes and manifests in a directory, packs of chunks by name and size only, since
marking never reads them. A part of the backups is deleted, and with them what only they had.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backupd.catalog.store import Catalog
from backupd.clock import SystemClock
from backupd.config import AuditConfig
from backupd.jobs.collect import CollectBody
from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import (
    Backup,
    BackupMode,
    BackupResult,
    BackupState,
    BackupType,
    Job,
    JobKind,
    JobState,
    Progress,
    Statistics,
    Volume,
)
from backupd.pipeline.workers import Workers
from backupd.repository import layout
from backupd.repository.keyring import Keyring
from backupd.repository.manifest import Manifest
from backupd.repository.opened import Repositories
from backupd.repository.repository import Repository
from chunker.digest import Ids, Kind
from chunker.frame import OVERHEAD_BYTES_MAX, FrameWriter
from chunker.node import NODE_SIZE_BYTES_MAX, Pointer
from chunker.pack import PackWriter
from chunker.sources.base import Source
from chunker.tree import Tree, TreeWriter
from targets.base import ObjectInfo
from targets.local import LocalTarget
from targets.local.target import LocalOptions
from targets.wrappers.observe import Observe

_PROJECT = "default"
_CHUNK_BYTES = 256 * 1024
_STORED_BYTES = 200 * 1024
_CHUNKS_PER_PACK = 40
_NODE_PACK_BYTES = 4 * 1024 * 1024
_LEASE_S = 3600.0
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


class HollowTarget(LocalTarget):
    """A directory that also lists, and lets be deleted, packs that it does not have."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, LocalOptions(fsync=False, create=True))
        self.hollow: dict[str, int] = {}

    def add(self, key: str, size_bytes: int) -> None:
        """Pretend to have an object."""
        self.hollow[key] = size_bytes

    async def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            if self.hollow.pop(key, None) is None:
                await self.delete(key)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        for key, size_bytes in [*self.hollow.items()]:
            if key.startswith(prefix):
                yield ObjectInfo(key, size_bytes)
        async for info in super().list(prefix):
            yield info


class Made:
    """A repository whose backups have chunks by name only."""

    def __init__(self, repository: Repository, target: HollowTarget, seed: int) -> None:
        self._repository = repository
        self._target = target
        self._random = random.Random(seed)
        self._writer = FrameWriter(repository.keys, compression_level=0, is_encrypted=True)
        self._ids = Ids(repository.keys.id_key)
        self._buffer = memoryview(bytearray(_NODE_PACK_BYTES))
        self._frame = memoryview(bytearray(NODE_SIZE_BYTES_MAX + OVERHEAD_BYTES_MAX))
        self._pack = PackWriter(self._random.randbytes(16), self._buffer)
        self.nodes = 0
        self.packs = 0

    async def backup(self, backup_id: str, chunks: int) -> None:
        """Store the tree and the manifest of a backup of so many chunks that nobody else has."""
        tree = TreeWriter(Tree(None, chunks), chunks, self._load, self._save)
        prefix = layout.prefix(_PROJECT, is_encrypted=True)
        for first in range(0, chunks, _CHUNKS_PER_PACK):
            pack_id = self._random.randbytes(16)
            count = min(_CHUNKS_PER_PACK, chunks - first)
            self._target.add(prefix + layout.pack(pack_id), count * (_STORED_BYTES + 44) + 40)
            self.packs += 1
            for number in range(count):
                place = (pack_id, number * _STORED_BYTES, _STORED_BYTES)
                await tree.set(first + number, Pointer(self._random.randbytes(32), *place))
        root = (await tree.finish()).root
        await self._seal()
        await self._repository.publish(_manifest(backup_id, chunks, root))

    async def _load(self, pointers: Sequence[Pointer]) -> list[bytes]:
        raise AssertionError(f"a new tree reads no nodes: {pointers}")

    async def _save(self, plain: bytes) -> Pointer:
        node_id = self._ids.of(Kind.NODE, plain)
        length = self._writer.encode(Kind.NODE, node_id, memoryview(plain), self._frame)
        if not self._pack.fits(length):
            await self._seal()
        entry = self._pack.append(Kind.NODE, node_id, self._frame[:length])
        self.nodes += 1
        return Pointer(node_id, self._pack.pack_id, entry.offset, entry.length)

    async def _seal(self) -> None:
        await self._repository.put_pack(self._pack.pack_id, self._pack.seal())
        self._pack = PackWriter(self._random.randbytes(16), self._buffer)
        self.packs += 1


async def measure(root: Path, *, chunks: int, backups: int, dead: int) -> dict[str, Any]:
    """Make a repository, delete ``dead`` of its backups, collect, and return what that took."""
    clock = SystemClock()
    target = HollowTarget(root / "target")
    observed = Observe(target)
    catalog = await Catalog.open(f"sqlite:///{root}/catalog.db", clock)
    workers = Workers(os.cpu_count() or 1)
    repositories = Repositories({"local": observed}, Keyring([bytes(32)], origin="bench"), clock, root / "indexes")
    try:
        opened = await repositories.open_to_write(_PROJECT, ["local"], is_encrypted=True)
        made = Made(opened.repository, target, seed=1)
        ids = [await _add_backup(catalog, made, number, chunks // backups) for number in range(backups)]
        for backup_id in ids[:dead]:
            await _delete_backup(catalog, opened.repository, backup_id)
        resources = Resources(
            catalog=catalog,
            clock=clock,
            repositories=repositories,
            workers=workers,
            open_source=_no_source,
            check_destination=lambda _path, _overwrite: None,
            check_overwritable=lambda _path: None,
            job_memory_bytes=64 * 2**20,
            audit=AuditConfig(),
        )
        body = CollectBody(resources, root / "collections", lambda _target: 0.5)
        return await _collect(body, catalog, observed, made)
    finally:
        workers.close()
        repositories.close()
        await catalog.aclose()
        await target.aclose()


async def _collect(body: CollectBody, catalog: Catalog, observed: Observe, made: Made) -> dict[str, Any]:
    request = {"target": "local", "is_dry_run": False, "is_sweep_only": False, "forget_writer": None}
    job = Job(str(uuid.uuid4()), _PROJECT, JobKind.COLLECT, None, JobState.QUEUED, _NOW, request)
    await catalog.collections.add_job(job)
    claimed = await catalog.claim_job("bench", _LEASE_S)
    assert claimed is not None
    counters = observed.counters
    before = {**counters.operations}
    bytes_before = counters.bytes_in, counters.bytes_out
    memory_before = _reset_peak()
    started_s, cpu_started_s = time.monotonic(), time.process_time()
    await body(claimed, JobRun(catalog, claimed, _LEASE_S))
    wall_s, cpu_s = time.monotonic() - started_s, time.process_time() - cpu_started_s
    report = await catalog.collections.report(claimed.id)
    assert report is not None
    requests = {name: count - before.get(name, 0) for name, count in counters.operations.items()}
    return {
        "nodes": made.nodes,
        "packs": made.packs,
        "deleted_packs": report.deleted,
        "freed_bytes": report.freed_bytes,
        "requests": requests,
        "requests_total": sum(requests.values()),
        "received_bytes": counters.bytes_in - bytes_before[0],
        "sent_bytes": counters.bytes_out - bytes_before[1],
        "memory_growth_bytes": _peak_bytes() - memory_before,
        "wall_s": round(wall_s, 2),
        "cpu_s": round(cpu_s, 2),
    }


async def _add_backup(catalog: Catalog, made: Made, number: int, chunks: int) -> str:
    kind = BackupType(str(uuid.uuid4()), f"type-{number}", "local", _NOW)
    await catalog.add_backup_type(kind)
    volume = Volume(str(uuid.uuid4()), _PROJECT, f"volume-{number}", "none", kind.id, _NOW)
    await catalog.add_volume(volume)
    backup = Backup(
        id=str(uuid.uuid4()),
        project=_PROJECT,
        volume_id=volume.id,
        name="backup",
        mode=BackupMode.FULL,
        target="local",
        chunk_size_bytes=_CHUNK_BYTES,
        compression_level=3,
        is_encrypted=True,
        is_deduplicated=True,
        state=BackupState.CREATING,
        created_at=_NOW,
    )
    await catalog.create_backup(
        backup, Job(str(uuid.uuid4()), _PROJECT, JobKind.BACKUP, backup.id, JobState.QUEUED, _NOW)
    )
    claimed = await catalog.claim_job("bench", _LEASE_S)
    assert claimed is not None
    await made.backup(backup.id, chunks)
    result = BackupResult(chunks * _CHUNK_BYTES, None, None, Statistics())
    await catalog.publish_backup(backup.id, job_id=claimed.id, fence=claimed.fence, result=result)
    await catalog.finish_job(claimed.id, claimed.fence, JobState.SUCCEEDED, None, Progress())
    return backup.id


async def _delete_backup(catalog: Catalog, repository: Repository, backup_id: str) -> None:
    job = Job(str(uuid.uuid4()), _PROJECT, JobKind.DELETE, backup_id, JobState.QUEUED, _NOW)
    await catalog.begin_delete(backup_id, job)
    claimed = await catalog.claim_job("bench", _LEASE_S)
    assert claimed is not None
    await repository.target.delete(layout.manifest(backup_id))
    await catalog.finish_delete(backup_id, job_id=claimed.id, fence=claimed.fence)
    await catalog.finish_job(claimed.id, claimed.fence, JobState.SUCCEEDED, None, Progress())


def _manifest(backup_id: str, chunks: int, root: Pointer | None) -> Manifest:
    return Manifest(
        backup_id=backup_id,
        backup_name="",
        volume_id="",
        volume_name="",
        mode="full",
        parent_id=None,
        full_read_reason=None,
        created_at=_NOW.isoformat(),
        finished_at=_NOW.isoformat(),
        size_bytes=chunks * _CHUNK_BYTES,
        chunk_size_bytes=_CHUNK_BYTES,
        root=root,
        source_identity="bench",
        source_token=None,
        statistics=asdict(Statistics()),
    )


def _no_source(volume: Volume) -> Source:
    raise AssertionError(f"a collection reads no volume: {volume.name}")


def _reset_peak() -> int:
    """Let the peak of the resident memory begin anew; return what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak_bytes()


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _print(chunks: int, found: dict[str, Any]) -> None:
    show = sys.stdout.write
    show(f"{chunks:,} chunks, {found['nodes']:,} nodes, {found['packs']:,} packs\n")
    show(f"deleted {found['deleted_packs']:,} packs, {found['freed_bytes'] / 2**30:.1f} GiB\n")
    detail = ", ".join(f"{count} {name}" for name, count in sorted(found["requests"].items()) if count)
    show(f"requests {found['requests_total']:,}: {detail}\n")
    per_node = found["received_bytes"] / found["nodes"]
    show(f"received {found['received_bytes'] / 2**20:.1f} MiB ({per_node:,.0f} bytes a node)\n")
    show(f"sent {found['sent_bytes'] / 2**20:.2f} MiB; memory grew by {found['memory_growth_bytes'] / 2**20:.0f} MiB\n")
    show(f"{found['wall_s']} s, {found['cpu_s']} s of CPU\n")


def main() -> None:
    """Measure as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--backups", type=int, default=10)
    parser.add_argument("--dead", type=int, default=1, help="how many of the backups are deleted")
    parser.add_argument("--directory", type=Path, help="where to work; a temporary directory unless told")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as root:
        sizes = {"chunks": arguments.chunks, "backups": arguments.backups, "dead": arguments.dead}
        found = asyncio.run(measure(Path(root), **sizes))
    _print(arguments.chunks, found)
    if arguments.json:
        arguments.json.write_text(json.dumps({**sizes, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
