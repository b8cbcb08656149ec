"""Whether what was deleted is gone."""

from __future__ import annotations

from targets.errors import ObjectNotFound, PermissionDenied
from targets.probe.answer import Answer, at_once_or_late, broken, ok
from targets.probe.parallel import at_a_time
from targets.probe.site import Site

_BODY = b"deleted"


async def delete(site: Site) -> Answer:
    """Tell whether a deleted object is gone at once, and whether an absent one can be deleted."""
    key = site.key("delete")
    await site.target.put(key, _BODY)
    try:
        await site.target.delete(key)
    except PermissionDenied as error:
        return broken(f"nothing may be deleted: {error}", error=error)
    answer = at_once_or_late(
        "a deleted object is gone", await site.late_s(lambda: _is_gone(site, key)), site.plan.wait_s
    )
    try:
        await site.target.delete(key)
    except ObjectNotFound as error:
        return broken("deleting an absent object is refused", error=error)
    return answer


async def delete_many(site: Site) -> Answer:
    """Tell whether all of many are gone, absent ones among them, and no other."""
    written = [site.key(f"delete-many-{number}") for number in range(site.plan.deleted_count)]
    kept = site.key("delete-many-kept")
    await at_a_time(site.plan.concurrency, [*written, kept], lambda key: site.target.put(key, _BODY))
    try:
        await site.target.delete_many([*written, site.key("delete-many-absent")])
    except PermissionDenied as error:
        return broken(f"nothing may be deleted: {error}", error=error)
    except ObjectNotFound as error:
        return broken("deleting an absent object among others is refused", error=error)
    left: list[str] = []

    async def look(key: str) -> None:
        if await site.late_s(lambda: _is_gone(site, key)) is None:
            left.append(key)

    await at_a_time(site.plan.concurrency, written, look)
    if left:
        return broken(f"of {len(written)} objects deleted at once {len(left)} are still there", {"left": len(left)})
    if await site.late_s(lambda: site.has(kept)) is None:
        return broken("an object beside those that were to be deleted is gone")
    return ok(f"{len(written)} objects deleted at once are gone", {"deleted": len(written)})


async def _is_gone(site: Site, key: str) -> bool:
    if await site.has(key):
        return False
    try:
        await site.target.get(key)
    except ObjectNotFound:
        return True
    return False
