"""Damage done to the objects of a local target, and what a daemon says about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chunker import pack
from chunker.digest import Kind
from chunker.pack import PackEntry
from tests.support.api import Api


def packs_of(target: Path, kind: Kind) -> list[Path]:
    """Return the packs of a target that hold frames of this kind."""
    found = sorted(path for path in target.glob("default/*/packs/*/*") if path.is_file())
    return [path for path in found if entries_of(path)[0].kind is kind]


def entries_of(path: Path) -> list[PackEntry]:
    """Return what a pack says it holds."""
    body = path.read_bytes()
    return pack.read_footer(bytes.fromhex(path.name), len(body), memoryview(body))


def flip(path: Path, at: int, bit: int = 0) -> None:
    """Flip one bit of an object."""
    body = bytearray(path.read_bytes())
    body[at] ^= 1 << bit
    path.chmod(0o600)
    path.write_bytes(body)


async def scrub(api: Api, target: str = "local", **request: Any) -> Any:
    """Return the job of a scrub when it has ended."""
    return await api.ended((await api.post("/v1/scrubs", {"target": target, **request}))["job"])


async def repair(api: Api, target: str = "local") -> Any:
    """Return the job of a repair when it has ended."""
    return await api.ended((await api.post("/v1/repairs", {"target": target}))["job"])
