"""P1: what a target lost or damaged is noticed, and the backup after that has all that it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.crashes import resumed
from tests.support.daemon import Place
from tests.support.volumes import random_bytes

CONTENT = random_bytes(20 * 1024 * 1024)


def lose(pack: Path) -> None:
    pack.unlink()


def damage(pack: Path) -> None:
    body = bytearray(pack.read_bytes())
    body[1000] ^= 1
    pack.write_bytes(body)


def largest_pack(place: Place) -> str:
    packs = place.objects("packs")
    return max(packs, key=packs.__getitem__)


async def verified(api: Api, backup: Any) -> Any:
    return await api.verify(backup)


async def restored(api: Api, backup: Any) -> Any:
    return await api.ended(await api.start_restore(backup, Path(backup["restores"]) / "lost"))


@pytest.mark.parametrize("find_out", [verified, restored])
@pytest.mark.parametrize("harm", [lose, damage])
async def test_p1_exact_what_was_found_lost_or_damaged_is_stored_anew(
    place: Place, harm: Callable[[Path], None], find_out: Callable[[Api, Any], Any]
) -> None:
    (place.sources / "disk").write_bytes(CONTENT)
    async with resumed(place) as api:
        backup = await api.back_up(await api.add_volume(place.sources / "disk"))
    key = largest_pack(place)
    harm(place.target / key)
    async with resumed(place) as api:  # Anew, so that no index is open yet.
        job = await find_out(api, backup | {"restores": place.restores})
        assert job["failure"]["code"] == "repository.corrupt"
        assert key.split("/", 2)[2] in job["failure"]["message"]
        again = await api.back_up("disk", mode="full")
        assert (await api.verify(again))["state"] == "succeeded"
        assert (await api.restore(again, place.restores / "disk")).read_bytes() == CONTENT
