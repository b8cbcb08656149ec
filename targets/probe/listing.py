"""Whether a listing has everything and nothing else."""

from __future__ import annotations

from collections import Counter

from targets.base import ObjectInfo
from targets.probe.answer import Answer, broken, ok
from targets.probe.parallel import at_a_time
from targets.probe.site import Site

_BODY = b"listed"


async def listing_complete(site: Site) -> Answer:
    """Tell whether a long listing gives each object once, with its size, and none that lacks the prefix.

    One that is only late is waited for: that is asked elsewhere.
    """
    written = {site.key(f"listing/a/{number:06}"): len(_BODY) for number in range(site.plan.listed_count)}
    beside = [site.key("listing/ab"), site.key("listing/b/1")]
    await at_a_time(site.plan.concurrency, [*written, *beside], lambda key: site.target.put(key, _BODY))
    prefix = f"{site.prefix}listing/a/"
    found: list[ObjectInfo] = []

    async def is_complete() -> bool:
        found[:] = await site.listed(prefix)
        return len({info.key for info in found} & set(written)) == len(written)

    is_late = await site.late_s(is_complete) is None
    foreign = [info.key for info in found if not info.key.startswith(prefix)]
    repeated = sum(count > 1 for count in Counter(info.key for info in found).values())
    wrong_sizes = sum(written.get(info.key, info.size_bytes) != info.size_bytes for info in found)
    missing = len(set(written) - {info.key for info in found})
    evidence = {"objects": len(written), "missing": missing, "foreign": len(foreign)}
    evidence |= {"repeated": repeated, "wrong_sizes": wrong_sizes}
    if is_late or foreign or repeated or wrong_sizes:
        seen = ", ".join(f"{count} {name}" for name, count in evidence.items() if count and name != "objects")
        return broken(f"a listing of {len(written)} objects is not exact: {seen}", evidence)
    return ok(f"a listing of {len(written)} objects has each of them once and no other", evidence)
