"""The chain of dirty bitmaps of one disk: which there are, what they tell, and what to do with them. Pure.

Every attempt starts a new bitmap at the instant that it freezes the disk and stops the one before. What changed
since point N is therefore the union of the bitmaps from N up to the freeze, and nothing but a commit drops any,
those older than its own point. Numbers have no gaps, so a bitmap that somebody else removed shows.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

CHAIN_MAX = 64
"""More attempts than that in a row without a commit start anew: each bitmap costs QEMU memory."""


@dataclass(frozen=True, slots=True)
class Bitmap:
    """One bitmap of the chain as QEMU shows it."""

    number: int
    name: str
    granularity_bytes: int
    is_recording: bool
    is_inconsistent: bool

    @property
    def token(self) -> str:
        """What tells this bitmap from any other one that there ever was."""
        return f"{self.name}@{self.granularity_bytes}"


@dataclass(frozen=True, slots=True)
class Chain:
    """The bitmaps of one disk, oldest first. ``is_raw``: its image cannot store bitmaps."""

    prefix: str
    bitmaps: tuple[Bitmap, ...]
    is_raw: bool

    @classmethod
    def of(cls, node: Mapping[str, Any], *, prefix: str) -> Chain:
        """Return the chain of a node as ``query-named-block-nodes`` shows it."""
        wanted = re.compile(rf"{re.escape(prefix)}-(\d{{8}})-[0-9a-f]{{16}}")
        found = [
            Bitmap(
                int(match[1]),
                bitmap["name"],
                bitmap["granularity"],
                bitmap["recording"],
                bitmap.get("inconsistent", False),
            )
            for bitmap in node.get("dirty-bitmaps", [])
            if (match := wanted.fullmatch(bitmap.get("name", "")))
        ]
        return cls(prefix, tuple(sorted(found, key=lambda one: one.number)), is_raw=node.get("drv") != "qcow2")

    def next_name(self) -> str:
        """Return the name for a new bitmap, never used before: one higher, or two, so that what is broken stays so."""
        number = self.bitmaps[-1].number + (2 if self.broken() else 1) if self.bitmaps else 1
        return f"{self.prefix}-{number:08d}-{secrets.token_hex(8)}"

    def recording(self) -> list[str]:
        """Return the bitmaps that a new one takes over from."""
        return [one.name for one in self.bitmaps if one.is_recording and not one.is_inconsistent]

    def older_than(self, name: str) -> list[str]:
        """Return what a commit of ``name`` drops."""
        return [one.name for one in self.bitmaps if one.name < name]

    def since(self, token: str, *, until: str) -> list[str] | str:
        """Return the bitmaps that tell the changes from ``token`` up to the start of ``until``, or why none do."""
        name, _, granularity = token.rpartition("@")
        first = next((one for one in self.bitmaps if one.name == name), None)
        if first is None:
            return self._why_missing(name)
        if str(first.granularity_bytes) != granularity:
            return f"bitmap {name} has granularity {first.granularity_bytes}, it had {granularity}: it is another one"
        union = [one for one in self.bitmaps if first.number <= one.number and one.name < until]
        for one in union:
            if one.is_inconsistent:
                return f"bitmap {one.name} is inconsistent: QEMU was killed, or its machine crashed"
        if [one.number for one in union] != list(range(first.number, first.number + len(union))):
            return f"a bitmap after {name} is missing: somebody removed it"
        return [one.name for one in union]

    def broken(self) -> str | None:
        """Say why writes since the last attempt may not have been recorded, before a new one begins."""
        if self.bitmaps and not self.bitmaps[-1].is_inconsistent and not self.bitmaps[-1].is_recording:
            return f"bitmap {self.bitmaps[-1].name} does not record: a later one was removed, or it was disabled"
        return None

    def _why_missing(self, name: str) -> str:
        if self.is_raw:
            return f"bitmap {name} is not there: the image is raw, and its bitmaps end with the QEMU process"
        if any(one.is_inconsistent for one in self.bitmaps):
            return f"bitmap {name} is not there: QEMU was killed before it was stored"
        return f"bitmap {name} is not there: QEMU was killed before it was stored, or somebody removed it"


def merged(names: Iterable[str], *, into: str, node: str) -> list[dict[str, Any]]:
    """Return the actions that make a bitmap ``into``, which does not record, of the union of others."""
    new = {"node": node, "name": into, "disabled": True}
    actions = [{"type": "block-dirty-bitmap-add", "data": new}]
    if sources := list(names):
        union = {"node": node, "target": into, "bitmaps": sources}
        actions.append({"type": "block-dirty-bitmap-merge", "data": union})
    return actions
