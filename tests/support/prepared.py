"""A place as a daemon left it, made once and copied for each test that begins there."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.support.api import Api
from tests.support.crashes import resumed
from tests.support.daemon import Place

SECOND = '[targets.second]\nurl = "file://{root}/second"\n'
_COPIED = ("state", "target", "second", "sources")


def prepare(root: Path, fill: Callable[[Api, Place], Awaitable[None]]) -> Path:
    """Run a daemon with two targets below ``root`` until ``fill`` is done."""
    (root / "second").mkdir()
    place = Place(root, more=SECOND)

    async def run() -> None:
        async with resumed(place) as api:
            await fill(api, place)

    asyncio.run(run())
    return root


def copied(saved: Path, root: Path) -> Place:
    """Return a place at ``root`` that is as the one that was prepared, its volumes included."""
    for name in _COPIED:
        shutil.copytree(saved / name, root / name)
    connection = sqlite3.connect(root / "state" / "catalog.db")
    with connection:
        connection.execute("UPDATE volumes SET source = replace(source, ?, ?)", (str(saved), str(root)))
    connection.close()
    return Place(root, more=SECOND)
