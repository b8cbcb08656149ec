"""A daemon that dies when it is started for the first time."""

from __future__ import annotations

from tests.support.crashes import Launcher, at_each_step, resumed
from tests.support.daemon import Place


async def test_p4_crash_at_any_step_of_the_first_start(place: Place, launcher: Launcher) -> None:
    (place.sources / "disk").write_bytes(b"content")

    async def check() -> None:
        async with resumed(place) as api:
            backup = await api.back_up(await api.add_volume(place.sources / "disk"))
            restored = await api.restore(backup, place.restores / "disk")
        assert restored.read_bytes() == b"content"
        assert list((place.root / "state").glob(".*")) == []

    assert await at_each_step(place, launcher, check, share=0, shares=1) > 5
