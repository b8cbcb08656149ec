"""Copies to a target that has a part of what they need already."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.repository import layout
from tests.support.yard import yard


@pytest.mark.parametrize("is_replicated", [False, True])
async def test_p3_tell_a_pack_that_is_there_by_half_is_copied_anew(
    tmp_path: Path,
    is_replicated: bool,
) -> None:
    async with yard(tmp_path) as place:
        backup = await place.back_up(await place.add_disk(20, seed=1))
        here, there = place.stores["local"], place.stores["other"]
        packs = {info.key: await here.get(info.key) async for info in here.list("") if layout.PACKS in info.key}
        for key, body in packs.items():
            await there.put(key, body[: len(body) // 2])
        if is_replicated:
            await place.replicate("local", "other")
        else:
            await place.copy(backup, "other")
        assert {key: await there.get(key) for key in packs} == packs
