"""A rotation of the master key that dies: both keys open what they must, and it goes on."""

from __future__ import annotations

import pytest

from backupd import key_commands
from backupd.config import load
from backupd.repository import keyring, layout
from backupd.repository.rewrapping import master_keys_of
from targets.local import LocalTarget
from targets.wrappers.prefix import Prefix
from tests.support.crashes import Launcher, at_each_step, resumed
from tests.support.daemon import Place
from tests.support.volumes import random_bytes

SHARES = 2  # Each within a test's time, on a slow machine too.
CONTENT = random_bytes(300_000)


async def keys_in_use(place: Place) -> set[str]:
    """Return the master keys that the repository needs."""
    target = LocalTarget(place.target)
    try:
        return await master_keys_of(Prefix(target, layout.prefix("default", is_encrypted=True)))
    finally:
        await target.aclose()


@pytest.mark.parametrize("share", range(SHARES))
async def test_p7_closed_a_crash_at_any_step_of_a_rotation_locks_nobody_out(
    place: Place, launcher: Launcher, share: int
) -> None:
    (place.sources / "disk").write_bytes(CONTENT)
    async with resumed(place) as api:
        backup = await api.back_up(await api.add_volume(place.sources / "disk"))

    async def check() -> None:
        async with resumed(place) as api:
            assert (await api.restore(backup, place.restores / "disk")).read_bytes() == CONTENT
        await key_commands.rewrap_all(load(place.config))
        current = keyring.load(place.root / "state" / "master.key").current_fingerprint
        assert current in await keys_in_use(place)
        async with resumed(place) as api:
            await api.verify(backup)
        assert place.leftovers() == []

    assert await at_each_step(place, launcher, check, share=share, shares=SHARES, command="rotate") > 10
