"""Whether of several writers that must find a key absent exactly one succeeds."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from targets.base import Target
from targets.errors import ObjectExists, ObjectNotFound, TargetError, Unsupported
from targets.probe.answer import Answer, broken, ok, unknown
from targets.probe.site import Site

_BODY_BYTES = 4096


async def conditional_put(site: Site) -> Answer:
    """Tell whether a key that is taken is refused and its object kept; one writer after the other."""
    key = site.key("conditional-put")
    first, second = await site.body(_BODY_BYTES), await site.body(_BODY_BYTES)
    if not site.target.capabilities.conditional_put:
        return await _honest(site, key, first)
    await site.target.put(key, first, if_absent=True)
    try:
        await site.target.put(key, second, if_absent=True)
    except ObjectExists:
        if await site.target.get(key) == second:
            return broken("a put that must find its key absent was refused, and replaced the object all the same")
        return ok("a key that is taken is refused")
    except Unsupported as error:
        return broken("it says that it has a conditional put, and has none", error=error)
    return broken("a put that must find its key absent succeeded where there was an object")


async def conditional_put_race(site: Site) -> Answer:
    """Tell whether exactly one of many writers at the same moment wins, and its object is what is stored."""
    rounds = [await _race(site, number) for number in range(site.plan.race_rounds)]
    found = Counter(race.verdict for race in rounds)
    evidence = {"writers": site.plan.race_writers, "rounds": len(rounds), "connections": 1 + (site.others is not None)}
    winners = [len(race.winners) for race in rounds]
    evidence |= {"winners_min": min(winners), "winners_max": max(winners)}
    if wrong := found["several"] + found["none"]:
        seen = f"in {wrong} of {len(rounds)} rounds not exactly one of {site.plan.race_writers} writers won"
        return broken(f"{seen}, but {min(winners)} to {max(winners)}", evidence)
    if found["other"]:
        return broken(
            f"in {found['other']} of {len(rounds)} rounds the winner's object is not the stored one", evidence
        )
    if found["unclear"]:
        code = next((error.code for race in rounds for error in race.errors), None)
        return unknown(f"in {found['unclear']} of {len(rounds)} rounds writers failed", evidence, code=code)
    return ok(f"exactly one of {site.plan.race_writers} writers won in each of {len(rounds)} rounds", evidence)


async def _honest(site: Site, key: str, body: bytes) -> Answer:
    try:
        await site.target.put(key, body, if_absent=True)
    except Unsupported:
        return ok("it has no conditional put, and says so")
    except ObjectExists:
        pass
    return broken("it says that it has no conditional put, and does not refuse one")


@dataclass(slots=True)
class _Race:
    """What became of the writers of one round. ``errors``: of those that cannot know whether they won."""

    winners: list[bytes] = field(default_factory=list)
    errors: list[TargetError] = field(default_factory=list)
    stored: bytes | None = None

    @property
    def verdict(self) -> str:
        """One of: several, none, other, unclear, one."""
        if len(self.winners) > 1:
            return "several"
        if not self.winners:  # One that failed may have stored its object before.
            return "unclear" if self.errors else "none"
        if self.stored is None:
            return "unclear"  # Not there yet: that is asked elsewhere.
        if self.stored != self.winners[0]:
            return "other"
        return "one"


async def _race(site: Site, number: int) -> _Race:
    key = site.key(f"conditional-put-race-{number}")
    race = _Race()
    bodies = [await site.body(_BODY_BYTES) for _ in range(site.plan.race_writers)]
    targets = [site.target, site.others or site.target]
    start = asyncio.Event()

    async def write(target: Target, body: bytes) -> None:
        await start.wait()
        try:
            await target.put(key, body, if_absent=True)
        except ObjectExists:
            return
        except TargetError as error:
            race.errors.append(error)
        else:
            race.winners.append(body)

    async with asyncio.TaskGroup() as group:
        for writer, body in enumerate(bodies):
            group.create_task(write(targets[writer % 2], body))
        start.set()
    try:
        race.stored = await site.target.get(key)
    except ObjectNotFound:
        race.stored = None
    return race
