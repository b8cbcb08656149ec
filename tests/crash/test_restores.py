"""A daemon that dies while it restores: the file is there whole or not at all, and the job goes on."""

from __future__ import annotations

from typing import Any

import pytest

from backupd.application.restores import NewRestore
from tests.support.crashes import Launcher, at_each_step, resumed, without_worker
from tests.support.daemon import Place
from tests.support.volumes import half_zero_bytes

MIB = 1024 * 1024
SHARES = 10  # Each within a test's time, on a slow machine too.
DELETION_SHARES = 4
CONTENT = half_zero_bytes(9 * MIB + 5)


async def set_up(place: Place) -> Any:
    (place.sources / "disk").write_bytes(CONTENT)
    async with resumed(place) as api:
        return await api.back_up(await api.add_volume(place.sources / "disk"))


@pytest.mark.parametrize("share", range(SHARES))
async def test_p4_crash_at_any_step_of_a_restore(place: Place, launcher: Launcher, share: int) -> None:
    backup = await set_up(place)
    path = place.restores / "disk"
    async with without_worker(place) as application:
        job = await application.restores.create("default", NewRestore(backup=backup["id"], path=str(path)))

    async def check() -> None:
        assert not path.exists() or path.read_bytes() == CONTENT
        async with resumed(place) as api:
            ended = await api.ended({"id": job.id, "state": "unknown"})
        assert ended["state"] == "succeeded", ended
        assert ended["progress"]["done_bytes"] == ended["progress"]["total_bytes"] == len(CONTENT)
        assert path.read_bytes() == CONTENT
        assert place.leftovers() == []

    assert await at_each_step(place, launcher, check, share=share, shares=SHARES) > 15


@pytest.mark.parametrize("share", range(DELETION_SHARES))
async def test_p4_crash_at_any_step_of_a_deletion(place: Place, launcher: Launcher, share: int) -> None:
    backup = await set_up(place)
    async with resumed(place) as api:
        other = await api.back_up("disk")
    async with without_worker(place) as application:
        job = await application.backups.delete("default", backup["id"])

    async def check() -> None:
        async with resumed(place) as api:
            assert (await api.ended({"id": job.id, "state": "unknown"}))["state"] == "succeeded"
            assert (await api.get(f"/v1/backups/{backup['id']}"))["state"] == "deleted"
            assert (await api.restore(other, place.restores / "disk")).read_bytes() == CONTENT
        assert [key.rpartition("/")[2] for key in place.objects("manifests")] == [other["id"]]

    assert await at_each_step(place, launcher, check, share=share, shares=DELETION_SHARES) > 4
