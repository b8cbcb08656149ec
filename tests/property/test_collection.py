"""P2: whatever is backed up, deleted, collected and interrupted in whatever order, every kept backup restores."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from backupd.model import Backup, Job, JobState
from tests.support.yard import CHUNK_BYTES, Disk, Yard, yard

CHUNKS = 12
STEPS = st.lists(
    st.sampled_from(["write", "back up", "begin", "go on", "give up", "delete", "collect", "collect", "sweep", "copy"]),
    min_size=4,
    max_size=25,
)


class History:
    """A random history of one repository. Two disks share content; one backup may have begun and wait."""

    def __init__(self, place: Yard, random: Random) -> None:
        self.place = place
        self.random = random
        self.begun: tuple[Job, Disk, Backup | None] | None = None
        self.kept: dict[str, Backup] = {}
        self.copied: set[str] = set()

    async def start(self) -> None:
        self.disks = [await self.place.add_disk(CHUNKS, seed=7) for _ in range(2)]

    async def step(self, name: str) -> None:
        await getattr(self, f"_{name.replace(' ', '_')}")()

    async def end(self) -> None:
        await self._give_up()
        for target in ("local", "other"):
            await self.place.collect(target=target)
            await self.place.collect(target=target)
        await self.place.check()
        for backup_id in self.copied:
            disk = self.place.disks[self.kept[backup_id].volume_id]
            assert await self.place.restored(backup_id, "other") == disk.content[backup_id]

    async def _write(self) -> None:
        disk = self.random.choice(self.disks)
        first = self.random.randrange(CHUNKS)
        count = self.random.randint(1, CHUNKS - first)
        # Few different contents, so that chunks come again.
        disk.memory.write(first * CHUNK_BYTES, Random(self.random.randrange(4)).randbytes(count * CHUNK_BYTES))

    async def _back_up(self) -> None:
        if (disk := self._free_disk()) is not None:
            backup = await self.place.back_up(disk, self._parent(disk), is_deduplicated=self.random.random() < 0.8)
            self.kept[backup.id] = backup

    async def _begin(self) -> None:
        if self.begun is None:
            disk = self.random.choice(self.disks)
            parent = self._parent(disk)
            job = await self.place.request_backup(disk, parent)
            self.begun = await self.place.claim_of(job), disk, parent

    async def _go_on(self) -> None:
        if self.begun is not None:
            (job, disk, _), self.begun = self.begun, None
            disk.content[job.of_backup] = disk.now()
            await self.place.do(job)
            self.kept[job.of_backup] = await self.place.catalog.backup(job.project, job.of_backup)

    async def _give_up(self) -> None:
        if self.begun is not None:
            (job, _, _), self.begun = self.begun, None
            if self.random.random() < 0.5:  # All of it was stored, and then something went wrong.
                await self.place.store_and_fail(job)
            else:
                await self.place.end(job, JobState.FAILED)

    async def _delete(self) -> None:
        in_use = None if self.begun is None else self.begun[2]
        free = [one for one in self.kept.values() if in_use is None or one.id != in_use.id]
        if free:
            backup = self.random.choice(free)
            await self.place.delete(backup)
            del self.kept[backup.id]
            self.copied.discard(backup.id)

    async def _collect(self) -> None:
        await self.place.collect(target=self.random.choice(["local", "local", "other"]))

    async def _sweep(self) -> None:
        await self.place.collect(sweep_only=True)

    async def _copy(self) -> None:
        left = [one for one in self.kept.values() if one.id not in self.copied]
        if left:
            backup = self.random.choice(left)
            await self.place.copy(backup, "other")
            self.copied.add(backup.id)

    def _free_disk(self) -> Disk | None:
        free = [disk for disk in self.disks if self.begun is None or disk is not self.begun[1]]
        return self.random.choice(free) if free else None

    def _parent(self, disk: Disk) -> Backup | None:
        mine = [one for one in self.kept.values() if one.volume_id == disk.row.id]
        return self.random.choice(mine) if mine and self.random.random() < 0.7 else None


@settings(max_examples=12, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 2**32))
def test_p2_keep_whatever_happens_every_kept_backup_restores(steps: list[str], seed: int) -> None:
    async def play(root: Path) -> None:
        random = Random(seed)
        async with yard(root, live_share_min=random.choice([0.0, 0.5, 0.9])) as place:
            history = History(place, random)
            await history.start()
            await place.back_up(history.disks[0])
            for step in steps:
                await history.step(step)
            await history.end()

    with tempfile.TemporaryDirectory() as root:
        asyncio.run(play(Path(root)))
