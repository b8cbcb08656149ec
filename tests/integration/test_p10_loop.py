"""P10, for a whole daemon: the API, the catalog, the worker and every job share one event loop, which never waits."""

from __future__ import annotations

from tests.support.blocking_calls import calls_in_this_thread
from tests.support.crashes import resumed
from tests.support.daemon import Place
from tests.support.volumes import random_bytes

MIB = 1024 * 1024
CONTENT = random_bytes(3 * MIB) + b"compressible " * 100_000


async def test_p10_loop_of_a_daemon_never_opens_a_source_nor_asks_the_catalog(place: Place) -> None:
    path = place.sources / "disk"
    path.write_bytes(CONTENT)
    async with resumed(place) as api:
        with calls_in_this_thread() as blocking:
            volume = await api.add_volume(path)
            first = await api.back_up(volume)
            second = await api.back_up(volume, parent=first["id"], changed_extents=[])
            verification = await api.verify(second)
            restored = await api.restore(second, place.restores / "disk")
            await api.delete(first)
            jobs = await api.get("/v1/jobs")
    assert verification["state"] == "succeeded"
    assert restored.read_bytes() == CONTENT
    assert len(jobs) == 5
    assert blocking == []
