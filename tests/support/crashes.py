"""Crashes from the outside: one state of a daemon, and what becomes of it when it dies at any step."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp

from backupd.application import Application, build_application
from backupd.catalog.store import Catalog
from backupd.clock import SystemClock
from backupd.config import load
from backupd.service import running
from chunker.sources.open import Sources
from targets.memory import MemoryTarget
from targets.wrappers.observe import Observe
from tests.support.api import Api
from tests.support.daemon import ROOT, Place

_PERISHABLE = ("state", "target", "restores")


class Launcher:
    """Starts daemons that die."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def kill_at(self, place: Place, step: int, *, reads: bool = True, command: str = "serve") -> str | None:
        """Run the daemon of ``place``, or a command, until it dies at a step; say at which, None if at none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"config": str(place.config), "last_step": step, "reads": reads, "command": command}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["status"] == (-signal.SIGKILL if answer["died_at"] else 0), answer
        died_at: str | None = answer["died_at"]
        return died_at


@contextmanager
def launching(log: Path) -> Iterator[Launcher]:
    """Keep a launcher for as long as the context lasts."""
    command = [sys.executable, "-m", "tests.support.doomed"]
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        yield Launcher(process)


class Saved:
    """The state of a place as it was when this was made. Sources stay as they are: nothing writes to them."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._copy = place.root / "saved"
        for name in _PERISHABLE:
            if (place.root / name).exists():
                shutil.copytree(place.root / name, self._copy / name)

    def bring_back(self) -> None:
        """Make the place what it was."""
        for name in _PERISHABLE:
            shutil.rmtree(self._place.root / name, ignore_errors=True)
            if (self._copy / name).exists():
                shutil.copytree(self._copy / name, self._place.root / name)


async def at_each_step(
    place: Place,
    launcher: Launcher,
    check: Callable[[], Awaitable[None]],
    *,
    share: int,
    shares: int,
    reads: bool = True,
    command: str = "serve",
) -> int:
    """Let the daemon of ``place``, or a command, die at each step of a share, check, and return how many there are.

    Reads are steps, too, where it matters what is in flight; a crash between two of them leaves the same state.
    """
    saved = Saved(place)
    for step in itertools.count(1 + share, shares):
        saved.bring_back()
        died_at = launcher.kill_at(place, step, reads=reads, command=command)
        if died_at is None:
            return step - 1
        try:
            await check()
        except BaseException as error:
            error.add_note(f"the daemon had died at step {step}: {died_at}")
            raise
    raise AssertionError("steps never end")


@asynccontextmanager
async def resumed(place: Place) -> AsyncIterator[Api]:
    """Run the daemon of ``place`` in this process."""
    async with running(load(place.config)) as url, aiohttp.ClientSession() as session:
        yield Api(url, session)


@asynccontextmanager
async def without_worker(place: Place) -> AsyncIterator[Application]:
    """Open the application of ``place`` with nobody to do its jobs."""
    config, clock = load(place.config), SystemClock()
    catalog = await Catalog.open(f"sqlite:///{place.root}/state/catalog.db", clock)
    try:
        with ThreadPoolExecutor(1) as executor:
            yield build_application(
                catalog=catalog,
                clock=clock,
                config=config,
                sources=Sources({}),
                observed={"local": Observe(MemoryTarget())},
                executor=executor,
                wake=lambda: None,
                sign=lambda text: text,
            )
    finally:
        await catalog.aclose()


def available_backups(place: Place) -> list[str]:
    """Return the backups that the catalog of a dead daemon calls available."""
    copy = place.root / "catalog"
    shutil.copytree(place.root / "state", copy, dirs_exist_ok=False)  # Opening a database changes its files.
    try:
        connection = sqlite3.connect(copy / "catalog.db")
        found = connection.execute("SELECT id FROM backups WHERE state = 'available'").fetchall()
        connection.close()
    finally:
        shutil.rmtree(copy)
    return [row[0] for row in found]
