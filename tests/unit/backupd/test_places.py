"""Where frames are by now: what that costs when packs are lost."""

from __future__ import annotations

from pathlib import Path

from backupd.jobs.places import Places
from backupd.jobs.repositories_of import scopes
from chunker.node import Pointer
from tests.support.builders import PROJECT
from tests.support.yard import yard


async def test_a_lost_pack_is_looked_for_once_however_many_frames_it_had(tmp_path: Path) -> None:
    async with yard(tmp_path) as place:
        await place.back_up(await place.add_disk(1, seed=1))
        scope = next(iter(scopes(place.resources.repositories, PROJECT, "local")))
        places = Places(place.resources, scope, await place.repository())
        counters = place.observed["local"].counters
        before = counters.requests
        for number in range(100):
            pointer = Pointer(bytes([number]) * 32, b"\xab" * 16, 100 * number, 100)
            assert await places.now([pointer]) == {pointer: pointer}
            assert places.size(pointer.pack) is None
        assert counters.requests - before <= 3  # The pack and its forward.


async def test_a_pack_that_is_there_is_never_lost_because_others_were_asked_for(tmp_path: Path) -> None:
    async with yard(tmp_path) as place:
        await place.back_up(await place.add_disk(1, seed=1))
        repository = await place.repository()
        frames = [Pointer(bytes([number]) * 32, bytes([number]) * 16, 0, 4) for number in range(5)]
        for one in frames:
            await repository.put_pack(one.pack, memoryview(b"pack"))
        scope = next(iter(scopes(place.resources.repositories, PROJECT, "local")))
        places = Places(place.resources, scope, repository, packs_remembered=2)
        for asked in (frames[:3], [frames[0], frames[3]], frames, [frames[1], frames[4]]):
            await places.now(asked)
            assert [places.size(one.pack) for one in asked] == [4] * len(asked)
