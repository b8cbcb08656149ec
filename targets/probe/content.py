"""Whether what is read is what was written: all of it, ranges of it, its size."""

from __future__ import annotations

from targets.errors import ShortRead
from targets.probe.answer import Answer, broken, ok
from targets.probe.site import Site

_RANGED_BYTES = 10_000
_HEAD_BYTES = 12_345


async def content(site: Site) -> Answer:
    """Tell whether random bytes of several sizes come back as they went."""
    size_bytes_max = site.target.capabilities.object_size_bytes_max
    sizes_bytes = [size for size in site.plan.content_sizes_bytes if size <= size_bytes_max]
    for number, size_bytes in enumerate(sizes_bytes):
        key, body = site.key(f"content-{number}"), await site.body(size_bytes)
        await site.target.put(key, body)
        found = await site.target.get(key)
        if found != body:
            seen = f"an object of {size_bytes} bytes came back as {len(found)} bytes"
            return broken(f"{seen} that differ", {"size_bytes": size_bytes, "read_bytes": len(found)})
    return ok("objects of all sizes come back as they went", {"sizes": len(sizes_bytes), "bytes": sum(sizes_bytes)})


async def ranges(site: Site) -> Answer:
    """Tell whether ranges are exact, and refused when the object ends before."""
    key, body = site.key("ranges"), await site.body(_RANGED_BYTES)
    await site.target.put(key, body)
    for offset, length in ((1234, 4321), (_RANGED_BYTES - 777, None)):
        asked = body[offset:] if length is None else body[offset : offset + length]
        try:
            found = await site.target.get(key, offset=offset, length=length)
        except ShortRead as error:
            return broken(
                f"a range within the object is refused: {error}", {"offset": offset, "length": length}, error=error
            )
        if found != asked:
            seen = f"a range of {len(asked)} bytes at {offset} came back as {len(found)} bytes that differ"
            return broken(seen, {"offset": offset, "length": length, "read_bytes": len(found)})
    try:
        found = await site.target.get(key, offset=_RANGED_BYTES - 10, length=20)
    except ShortRead:
        return ok("ranges are exact, and refused past the end")
    seen = f"a range past the end was not refused and gave {len(found)} bytes"
    return broken(seen, {"offset": _RANGED_BYTES - 10, "length": 20, "read_bytes": len(found)})


async def head_size(site: Site) -> Answer:
    """Tell whether the size that is told is that of the object."""
    key = site.key("head-size")
    await site.target.put(key, await site.body(_HEAD_BYTES))
    told_bytes = (await site.target.head(key)).size_bytes
    if told_bytes != _HEAD_BYTES:
        return broken(f"the head of an object of {_HEAD_BYTES} bytes says {told_bytes}", {"told_bytes": told_bytes})
    return ok("the size that is told is that of the object", {"told_bytes": told_bytes})
