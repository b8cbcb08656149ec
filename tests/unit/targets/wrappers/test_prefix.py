from __future__ import annotations

import pytest

from targets.errors import InvalidKey
from targets.memory import MemoryTarget
from targets.testing import keys
from targets.wrappers.prefix import Prefix


@pytest.mark.parametrize("prefix", ["project/plain", "project/plain/"])
async def test_objects_lie_below_the_prefix(prefix: str) -> None:
    inner = MemoryTarget()
    await Prefix(inner, prefix).put("packs/1", b"content")
    assert await keys(inner) == ["project/plain/packs/1"]


async def test_objects_beside_the_prefix_are_not_seen() -> None:
    inner = MemoryTarget()
    for key in ("a/1", "a-b/1", "aa/1", "b/a/1"):
        await inner.put(key, b"content")
    assert await keys(Prefix(inner, "a")) == ["1"]


async def test_head_tells_the_key_that_was_asked_for() -> None:
    target = Prefix(MemoryTarget(), "a")
    await target.put("1", b"content")
    assert (await target.head("1")).key == "1"


async def test_refusal_names_the_key_that_was_given() -> None:
    with pytest.raises(InvalidKey, match=r"^key '\.\./b/1': "):
        await Prefix(MemoryTarget(), "a").get("../b/1")


async def test_key_that_is_too_long_with_the_prefix_is_refused() -> None:
    with pytest.raises(InvalidKey, match="of 513 characters"):
        await Prefix(MemoryTarget(), "p" * 255).get(f"{'k' * 200}/{'k' * 56}")


@pytest.mark.parametrize("prefix", ["", "/", "a//", "../a", ".tmp", "A"])
def test_illegal_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidKey):
        Prefix(MemoryTarget(), prefix)
