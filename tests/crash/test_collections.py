"""A daemon that dies while it collects: what backups need stays, and the collection is done in the end."""

from __future__ import annotations

from typing import Any

import pytest

from backupd.application.collections import NewCollection
from tests.support.crashes import Launcher, at_each_step, resumed, without_worker
from tests.support.daemon import Place
from tests.support.repositories import verify_published
from tests.support.volumes import random_bytes

MIB = 1024 * 1024
SHARES = 8  # Each within a test's time, on a slow machine too.
CONTENT = random_bytes(2 * MIB)
CHANGED = random_bytes(MIB + MIB // 2, seed=7) + CONTENT[MIB + MIB // 2 :]


async def set_up(place: Place) -> Any:
    """Leave a pack that is dead, one that is mostly dead, and the backup that needs the rest of it."""
    (place.sources / "disk").write_bytes(CONTENT)
    (place.sources / "other").write_bytes(random_bytes(MIB, seed=3))
    async with resumed(place) as api:
        first = await api.back_up(await api.add_volume(place.sources / "disk"))
        (place.sources / "disk").write_bytes(CHANGED)
        kept = await api.back_up("disk")
        await api.delete(first)
        await api.delete(await api.back_up(await api.add_volume(place.sources / "other", name="other")))
    return kept


@pytest.mark.parametrize("share", range(SHARES))
async def test_p2_keep_a_crash_at_any_step_of_a_collection_loses_nothing(
    place: Place, launcher: Launcher, share: int
) -> None:
    kept = await set_up(place)
    before = place.objects("packs")
    async with without_worker(place) as application:
        job = await application.collections.create("default", "local", NewCollection())

    async def check() -> None:
        await verify_published(place)
        async with resumed(place) as api:
            assert (await api.ended({"id": job.id, "state": "unknown"}))["state"] == "succeeded"
            (place.restores / "disk").unlink(missing_ok=True)
            assert (await api.restore(kept, place.restores / "disk")).read_bytes() == CHANGED
        assert place.leftovers() == []
        assert len(place.objects("forward")) == 1
        assert sum(place.objects("packs").values()) < sum(before.values()) - 2 * MIB

    assert await at_each_step(place, launcher, check, share=share, shares=SHARES, reads=False) > 40
