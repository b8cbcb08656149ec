"""Runs one seed, from a new world to its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from backupd.catalog.store import Catalog
from backupd.simulation.entropy import seeded_entropy
from backupd.simulation.happenings import happen, set_up
from backupd.simulation.loop import LoopClock, SimulatedLoop
from backupd.simulation.run import Happen, Run
from backupd.simulation.trace import Trace

_MEMORY = Path("/dev/shm")  # noqa: S108 - files in memory, in a directory of our own
_GARBAGE_THRESHOLD = 100_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a seed. ``failure`` is empty when every promise was kept, else it says which was not."""

    seed: int
    days: int
    events: int
    digest: str
    failure: str
    last_events: tuple[str, ...]


def simulate(seed: int, *, days: int, happen: Happen = happen) -> Outcome:
    """Let ``days`` pass in a world of its own. Whatever goes wrong with the service is in the outcome."""
    loop = SimulatedLoop(seed)
    trace = Trace(loop.time)
    failure = ""
    empty = _empty_catalog()
    with (
        _directory() as directory,
        seeded_entropy(loop.random),
        _logged_to(trace),
        _rare_collections(),
        asyncio.Runner(loop_factory=lambda: loop) as runner,
    ):
        (directory / "catalog.sqlite").write_bytes(empty)
        try:
            runner.run(_run(directory, trace, days, happen))
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed has found it
            failure = "".join(traceback.format_exception(error))
    return Outcome(seed, days, trace.count, trace.digest, failure, tuple(trace.last()))


@contextmanager
def _directory() -> Iterator[Path]:
    """Make a directory, the same one for each run of this process, and remove it with all that is in it."""
    path = (_MEMORY if _MEMORY.is_dir() else Path(tempfile.gettempdir())) / f"backupd-simulate-{os.getpid()}"
    shutil.rmtree(path, ignore_errors=True)  # Of a process that was killed and had this number before.
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path)


async def _run(directory: Path, trace: Trace, days: int, happen: Happen) -> None:
    await Run(directory, trace).run(days, set_up, happen)


@cache
def _empty_catalog() -> bytes:
    """Return a database with the newest schema: making one takes as long as some days do."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "catalog.sqlite"

        async def make() -> None:
            catalog = await Catalog.open(f"sqlite:///{path}", LoopClock())
            await catalog.aclose()

        with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
            runner.run(make())
        return path.read_bytes()


class _TraceHandler(logging.Handler):
    def __init__(self, trace: Trace) -> None:
        super().__init__(logging.INFO)
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        self._trace.aside(f"{record.levelname.lower()} {record.getMessage()}")


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python look for cycles seldom: a run is short and ends with all that it has made."""
    before = gc.get_threshold()
    gc.set_threshold(_GARBAGE_THRESHOLD)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def _logged_to(trace: Trace) -> Iterator[None]:
    """Let what the service logs be part of what a failure shows, and of nothing else."""
    handler = _TraceHandler(trace)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)
