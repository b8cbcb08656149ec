"""The pages of a container's listing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import urlencode

from targets.base import ObjectInfo
from targets.errors import Unavailable
from targets.keys import is_key
from targets.swift.container import Container


async def listing(container: Container, prefix: str, *, base: str, page_count: int) -> AsyncIterator[ObjectInfo]:
    """Yield what is below ``base`` and has the prefix. Holds a page, and no connection between two.

    It ends with an empty page and not with a short one: sharded containers have those in the middle. Names that
    are no keys were not written by a target.
    """
    marker = ""
    while page := await _page(container, {"prefix": base + prefix, "limit": page_count, "marker": marker}):
        for name, size_bytes in page:
            key = name.removeprefix(base)
            if is_key(key):
                yield ObjectInfo(key, size_bytes)
        if page[-1][0] <= marker:
            raise Unavailable(f"list container: the page after {marker} does not come after it")
        marker = page[-1][0]


async def _page(container: Container, query: dict[str, str | int]) -> list[tuple[str, int]]:
    async with container.listed(urlencode({"format": "json", **query})) as response:
        text = await response.read()
    try:
        return [(entry["name"], int(entry["bytes"])) for entry in json.loads(text or b"[]")]
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"list container: the answer is no listing: {type(error).__name__}") from error
