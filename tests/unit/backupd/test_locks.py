"""Object lock: what kept backups need stays locked, and what is locked is no hindrance to a collection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from backupd.model import Failure, JobKind, JobState, Progress
from backupd.repository import layout
from targets.base import Body
from targets.errors import PermissionDenied
from targets.memory import MemoryTarget
from tests.support.virtual_clock import VirtualClock
from tests.support.yard import CHUNK_BYTES, Disk, Yard, yard

DAY_S = 86_400.0
LOCKED_DAYS = 6


class _Locking(MemoryTarget):
    """Refuses to delete what is locked, as a bucket with object lock does."""

    lock_s = LOCKED_DAYS * DAY_S

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self.until: dict[str, datetime] = {}
        self.requests = 0

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        await super().put(key, body, if_absent=if_absent)
        self.until[key] = self._clock.now() + timedelta(seconds=self.lock_s)

    async def delete(self, key: str) -> None:
        await self.delete_many([key])

    async def delete_many(self, keys: Sequence[str]) -> None:
        if refused := await self.locked(keys):
            raise PermissionDenied(f"delete: {len(refused)} are left: {min(refused)}")
        await super().delete_many(keys)
        for key in keys:
            self.until.pop(key, None)

    async def lock(self, keys: Sequence[str]) -> None:
        self.requests += len(keys)
        self.until |= {key: self._clock.now() + timedelta(seconds=self.lock_s) for key in keys if key in self.until}

    async def locked(self, keys: Sequence[str]) -> set[str]:
        return {key for key in keys if key in self.until and self.until[key] > self._clock.now()}

    def open_keys(self) -> set[str]:
        """Return what anybody could delete, without what tells of writers and condemnations."""
        needed = {key for key in self.until if "/writers/" not in key and "/condemned/" not in key}
        return {key for key in needed if self.until[key] <= self._clock.now()}


class _Bucket:
    """A yard over a target that locks, and its clock."""

    def __init__(self, place: Yard, store: _Locking, clock: VirtualClock) -> None:
        self.place = place
        self.store = store
        self.clock = clock

    async def pass_days(self, count: int) -> None:
        """Let days pass with a collection on each."""
        for _ in range(count):
            self.clock.advance(DAY_S)
            await self.place.collect()


@pytest.fixture
async def bucket(tmp_path: Path) -> AsyncIterator[_Bucket]:
    async with opened(tmp_path) as made:
        yield made


@asynccontextmanager
async def opened(root: Path, live_share_min: float = 0.5) -> AsyncIterator[_Bucket]:
    clock = VirtualClock()
    store = _Locking(clock)
    stores = {"local": store}
    async with yard(root, stores=stores, lockers=stores, clock=clock, live_share_min=live_share_min) as place:
        yield _Bucket(place, store, clock)


async def shared(bucket: _Bucket) -> tuple[Disk, str]:
    """Make two backups that share most of their chunks and delete the first when its lock has run out."""
    disk = await bucket.place.add_disk(20, seed=1)
    first = await bucket.place.back_up(disk)
    disk.memory.write(0, b"later" * 100)
    second = await bucket.place.back_up(disk, first)
    return disk, second.id


async def test_p2_keep_what_a_kept_backup_needs_is_never_open_for_deletion(bucket: _Bucket) -> None:
    await shared(bucket)
    for _ in range(2 * LOCKED_DAYS):
        await bucket.pass_days(1)
        assert bucket.store.open_keys() == set()
    await bucket.place.check()


async def test_locks_are_extended_three_times_in_their_length_and_not_each_day(bucket: _Bucket) -> None:
    await shared(bucket)
    await bucket.pass_days(1)
    objects = bucket.store.requests
    assert objects == len(bucket.store.until) - len(await bucket.place.keys(layout.WRITERS))
    await bucket.pass_days(LOCKED_DAYS)
    assert bucket.store.requests == 4 * objects


async def test_what_is_dead_and_locked_stays_until_its_lock_has_run_out(bucket: _Bucket) -> None:
    gone = await bucket.place.back_up(await bucket.place.add_disk(20, seed=1))
    packs = await bucket.place.keys()
    bucket.store.until.pop(f"default/encrypted/{layout.manifest(gone.id)}")  # Its lock alone has run out.
    await bucket.place.delete(gone)
    report = await bucket.place.collect()
    assert (report.locked_packs, report.condemned, report.deleted) == (2, 0, 0)
    assert await bucket.place.keys() == packs
    bucket.clock.advance(LOCKED_DAYS * DAY_S)
    assert (await bucket.place.collect()).deleted == 2
    assert await bucket.place.keys() == set()


async def test_a_manifest_that_came_late_and_is_locked_is_passed_over_until_its_lock_has_run_out(
    bucket: _Bucket,
) -> None:
    gone = await bucket.place.back_up(await bucket.place.add_disk(20, seed=1))
    target = (await bucket.place.repository()).target
    body = await target.get(layout.manifest(gone.id))
    bucket.clock.advance(LOCKED_DAYS * DAY_S)
    await bucket.place.delete(gone)
    assert (await bucket.place.collect()).deleted == 2
    await target.put(layout.manifest(gone.id), body)
    await bucket.pass_days(LOCKED_DAYS - 1)
    assert await bucket.place.keys(layout.MANIFESTS) == {layout.manifest(gone.id)}
    await bucket.pass_days(1)
    assert await bucket.place.keys(layout.MANIFESTS) == set()


async def test_a_collection_ends_though_its_own_objects_are_locked(bucket: _Bucket) -> None:
    disk, _ = await shared(bucket)
    for step in range(2):
        gone = await bucket.place.back_up(disk)
        bucket.clock.advance(LOCKED_DAYS * DAY_S)
        await bucket.place.delete(gone)
        disk.memory.write(0, bytes([step]) * CHUNK_BYTES)
        await bucket.place.collect()
        assert not await bucket.place.catalog.collections.pending()
    await bucket.place.check()


async def test_a_backup_whose_deletion_is_refused_is_open_when_its_lock_has_run_out(bucket: _Bucket) -> None:
    backup = await bucket.place.back_up(await bucket.place.add_disk(20, seed=1))
    job = await bucket.place.request_delete(backup)
    claimed = await bucket.place.claim_of(job)
    with pytest.raises(PermissionDenied):
        await bucket.place.bodies[JobKind.DELETE](claimed, bucket.place.run_of(claimed))
    failure = Failure(PermissionDenied.code, "locked")
    await bucket.place.catalog.finish_job(claimed.id, claimed.fence, JobState.FAILED, failure, Progress())
    await bucket.pass_days(LOCKED_DAYS)
    assert f"default/encrypted/{layout.manifest(backup.id)}" in bucket.store.open_keys()
    await bucket.place.delete(backup)
    assert (await bucket.place.collect()).deleted == 2


async def test_p2_keep_everything_is_locked_for_longer_while_a_tree_cannot_be_read(bucket: _Bucket) -> None:
    await shared(bucket)
    other = await bucket.place.back_up(await bucket.place.add_disk(20, seed=2))
    manifest = await (await bucket.place.repository()).manifest(other.id)
    assert manifest is not None
    assert manifest.root is not None
    await MemoryTarget.put(bucket.store, f"default/encrypted/{layout.pack(manifest.root.pack)}", b"garbled")
    with pytest.raises(Exception, match="nothing is collected"):
        await bucket.pass_days(1)
    bucket.clock.advance((LOCKED_DAYS - 1) * DAY_S + 1)
    assert bucket.store.open_keys() == set()
