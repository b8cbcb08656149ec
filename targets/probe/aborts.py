"""Whether an object is whole or not there at all: while it is written, and when that is given up midway."""

from __future__ import annotations

import asyncio
from enum import StrEnum

from targets.base import Target
from targets.errors import ObjectNotFound, TargetError
from targets.probe.answer import Answer, broken, ok
from targets.probe.site import Site

_FIRST_LOOK_S = 0.002
_LOOK_S_MAX = 0.5
_LOOKS_MAX = 200


class _Seen(StrEnum):
    ABSENT = "absent"
    WHOLE = "whole"
    TORN = "torn"


async def aborted_put(site: Site) -> Answer:
    """Cancel puts after more and more of their time, and after a few turns of the loop; then look, and again later."""
    body = await site.body(_size_bytes(site))
    started_s = site.monotonic()
    await site.target.put(site.key("aborted-put-whole"), body)
    whole_s = site.monotonic() - started_s
    seen: dict[str, _Seen] = {}
    for number in range(site.plan.abort_points):
        by_time, by_turns = (site.key(f"aborted-put-{kind}-{number}") for kind in ("time", "turns"))
        await _abort(site, by_time, body, after_s=whole_s * (number + 0.5) / site.plan.abort_points, turns=0)
        await _abort(site, by_turns, body, after_s=0, turns=number)
        seen |= {key: await _look(site.target, key, body) for key in (by_time, by_turns)}
    torn = {key for key, what in seen.items() if what is _Seen.TORN}
    torn |= {info.key for info in await site.listed(f"{site.prefix}aborted-put-") if info.size_bytes != len(body)}
    await site.sleep(site.plan.settle_s)
    later = {key: await _look(site.target, key, body) for key in seen}
    torn |= {key for key, what in later.items() if what is _Seen.TORN}
    evidence = {"aborted": len(seen), "torn": len(torn), "whole_put_s": whole_s}
    evidence |= {f"{what}_later": [*later.values()].count(what) for what in (_Seen.ABSENT, _Seen.WHOLE)}
    if torn:
        return broken(f"of {len(seen)} puts that were given up {len(torn)} left part of an object", evidence)
    return ok(f"{len(seen)} puts that were given up left a whole object or none", evidence)


async def put_in_progress(site: Site) -> Answer:
    """Look again and again for an object that is being written."""
    key, body = site.key("put-in-progress"), await site.body(_size_bytes(site))
    reader = site.others or site.target
    looks: list[_Seen] = []
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(_put(site.target, key, body))
        pause_s = _FIRST_LOOK_S
        while not writer.done() and len(looks) < _LOOKS_MAX and _Seen.TORN not in looks:
            await site.sleep(pause_s)
            pause_s = min(_LOOK_S_MAX, pause_s * 1.2)
            looks.append(await _look_safely(reader, key, body))
    if (error := writer.result()) is not None:
        raise error
    if _Seen.TORN in looks:
        return broken("an object that is being written can be read in part", {"looks": len(looks)})
    return ok("an object that is being written is not there until it is whole", {"looks": len(looks)})


async def _abort(site: Site, key: str, body: bytes, *, after_s: float, turns: int) -> None:
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(_put(site.target, key, body))
        if after_s:
            await site.sleep(after_s)
        for _ in range(turns):
            await asyncio.sleep(0)
        writer.cancel()


async def _put(target: Target, key: str, body: bytes) -> TargetError | None:
    try:
        await target.put(key, body)
    except TargetError as error:
        return error
    return None


async def _look(target: Target, key: str, body: bytes) -> _Seen:
    try:
        found = await target.get(key)
    except ObjectNotFound:
        return _Seen.ABSENT
    return _Seen.WHOLE if found == body else _Seen.TORN


async def _look_safely(target: Target, key: str, body: bytes) -> _Seen:
    try:
        return await _look(target, key, body)
    except TargetError:
        return _Seen.ABSENT  # Nothing was seen; the writer's own error tells more.


def _size_bytes(site: Site) -> int:
    return min(site.plan.abort_size_bytes, site.target.capabilities.object_size_bytes_max)
