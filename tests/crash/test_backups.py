"""A daemon that dies while it backs up, at each step that leaves another state behind."""

from __future__ import annotations

from typing import Any

import pytest

from backupd.application.backups import NewBackup
from tests.support.crashes import Launcher, at_each_step, available_backups, resumed, without_worker
from tests.support.daemon import Place
from tests.support.repositories import verify_published
from tests.support.volumes import random_bytes

MIB = 1024 * 1024
SHARES = 10  # Each within a test's time, on a slow machine too.
CONTENT = random_bytes(9 * MIB)  # Two packs of chunks, since one holds 8 MiB.


class Crashed:
    """A place with a backup that is to be made, and what must hold after each crash."""

    def __init__(self, place: Place, job_id: str, content: bytes) -> None:
        self._place = place
        self._job_id = job_id
        self._content = content
        self._source = place.sources / "disk"
        self._modified_ns = self._source.stat().st_mtime_ns

    async def check(self) -> None:
        """Look at what the dead daemon left, then let another one go on."""
        await self._check_nothing_is_promised_too_early()
        packs = self._place.objects("packs")
        async with resumed(self._place) as api:
            job = await api.ended({"id": self._job_id, "state": "unknown"})
            assert job["state"] == "succeeded", job
            backup = await api.get(f"/v1/backups/{job['backup_id']}")
            assert backup["state"] == "available"
            restored = await api.restore(backup, self._place.restores / "disk")
        assert restored.read_bytes() == self._content
        assert self._place.leftovers() == []
        self._check_packs_were_sent_once(packs)
        self._check_source_is_untouched()

    async def _check_nothing_is_promised_too_early(self) -> None:
        published = {key.rpartition("/")[2] for key in self._place.objects("manifests")}
        assert set(available_backups(self._place)) <= published
        if published:
            await verify_published(self._place)

    def _check_packs_were_sent_once(self, before: dict[str, int]) -> None:
        after = self._place.objects("packs")
        assert before.items() <= after.items()
        assert sum(after.values()) < 10 * MIB

    def _check_source_is_untouched(self) -> None:
        assert self._source.read_bytes() == self._content
        assert self._source.stat().st_mtime_ns == self._modified_ns


async def set_up(place: Place) -> None:
    (place.sources / "disk").write_bytes(CONTENT)
    async with resumed(place) as api:
        await api.add_volume(place.sources / "disk")


async def queue(place: Place, **request: Any) -> str:
    async with without_worker(place) as application:
        _, job = await application.backups.create("default", NewBackup(volume="disk", **request))
    return job.id


@pytest.mark.parametrize("share", range(SHARES))
async def test_p4_crash_at_any_step_of_a_full_backup(place: Place, launcher: Launcher, share: int) -> None:
    await set_up(place)
    crashed = Crashed(place, await queue(place), CONTENT)
    steps = await at_each_step(place, launcher, crashed.check, share=share, shares=SHARES)
    assert steps > 40


@pytest.mark.parametrize("share", range(SHARES))
async def test_p4_crash_at_any_step_of_an_incremental(place: Place, launcher: Launcher, share: int) -> None:
    await set_up(place)
    async with resumed(place) as api:
        parent = await api.back_up("disk")
    content = random_bytes(MIB // 2, seed=7) + CONTENT[MIB // 2 :]
    (place.sources / "disk").write_bytes(content)
    extents = [{"offset_bytes": 0, "length_bytes": MIB // 2}]
    crashed = Crashed(place, await queue(place, parent=parent["id"], changed_extents=extents), content)
    steps = await at_each_step(place, launcher, crashed.check, share=share, shares=SHARES)
    assert steps > 20
