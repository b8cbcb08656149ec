"""Whether what was written can be read at once."""

from __future__ import annotations

from functools import partial

from targets.base import Target
from targets.errors import Final, ObjectNotFound
from targets.probe.answer import Answer, at_once_or_late, broken, ok, unknown
from targets.probe.report import Outcome
from targets.probe.site import Site

_BODY_BYTES = 4096


async def writable(site: Site) -> Answer:
    """Tell whether anything can be stored."""
    try:
        await site.target.put(site.key("writable"), await site.body(_BODY_BYTES))
    except Final as error:
        return broken(f"nothing can be stored: {error}", error=error)
    return ok("objects can be stored")


async def read_after_write(site: Site) -> Answer:
    """Tell whether a new object is there at once, also for one who was told just before that it is not.

    Over the other connections too, if there are any: a cache or a replica in between would show there.
    """
    key = site.key("read-after-write")
    readers = [site.target, *([site.others] if site.others is not None else [])]
    for reader in readers:
        await site.has(key, seen_by=reader)
    await site.target.put(key, await site.body(_BODY_BYTES))
    for reader in readers:
        for what, look in (
            ("can be read", partial(_can_read, reader, key)),
            ("has a head", partial(site.has, key, seen_by=reader)),
        ):
            answer = at_once_or_late(f"a new object {what}", await site.late_s(look), site.plan.wait_s)
            if answer.outcome is not Outcome.OK:
                return answer
    return ok("a new object can be read at once", {"late_s": 0.0, "connections": len(readers)})


async def read_after_overwrite(site: Site) -> Answer:
    """Tell whether a new object in the place of an old one is what is read at once."""
    key = site.key("read-after-overwrite")
    old, new = await site.body(_BODY_BYTES), await site.body(_BODY_BYTES)
    await site.target.put(key, old)
    await site.late_s(partial(_can_read, site.target, key))
    await site.target.put(key, new)
    read = set()

    async def is_new() -> bool:
        found = await site.target.get(key)
        read.add(found)
        return found != old

    late_s = await site.late_s(is_new)
    if read - {old, new}:
        return unknown("what was read is neither the old object nor the new one")
    return at_once_or_late("an overwritten object is read as the new one", late_s, site.plan.wait_s)


async def listing_after_write(site: Site) -> Answer:
    """Tell whether a new object is listed at once."""
    key = site.key("listing-after-write")
    await site.target.put(key, b"listed")
    return at_once_or_late("a new object is listed", await site.late_s(lambda: _is_listed(site, key)), site.plan.wait_s)


async def listing_after_delete(site: Site) -> Answer:
    """Tell whether an object that is gone is no longer listed."""
    key = site.key("listing-after-delete")
    await site.target.put(key, b"listed")
    await site.late_s(lambda: _is_listed(site, key))
    await site.target.delete(key)

    async def is_unlisted() -> bool:
        return not await _is_listed(site, key)

    late_s = await site.late_s(is_unlisted)
    if late_s != 0 and await site.has(key):
        return unknown("the object that was deleted is still there")
    return at_once_or_late("a deleted object is no longer listed", late_s, site.plan.wait_s)


async def _can_read(reader: Target, key: str) -> bool:
    try:
        await reader.get(key)
    except ObjectNotFound:
        return False
    return True


async def _is_listed(site: Site, key: str) -> bool:
    return any(info.key == key for info in await site.listed(key))
