"""Runs the real daemon up to its n-th step and kills it there, as ``kill -9`` would.

A step is whatever changes something that lasts (a file, a directory, a database), and each read of a volume or
an object: between two steps a crash leaves the same state, so n = 1, 2, ... are all the states that there are.
Of a write only the first half is done before the end.

``python -m tests.support.doomed`` reads one request a line and answers each with a line. Every run is a fork of
it, because starting Python takes longer than a small backup.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import aiohttp

from backupd import key_commands
from backupd.config import load
from backupd.service import running
from targets.local.files import LocalFiles
from tests.support.api import Api

_WRITES = ("write", "pwrite")
_CHANGES = (
    *_WRITES,
    *("open", "mkdir", "link", "rename", "replace", "unlink", "ftruncate", "fsync", "setxattr", "removexattr"),
)
_READS = ("pread", "preadv")
_CHANGING = ("INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "PRAGMA USER_VERSION =")


class Steps:
    """Counts steps; the last one is told to ``pipe`` and not survived."""

    def __init__(self, last: int, pipe: int) -> None:
        self._last = last
        self._pipe = pipe
        self._numbers = itertools.count(1)  # Drawn in one operation, so that threads need no lock.
        self._write = os.write

    def is_last(self) -> bool:
        """Count one step and tell whether it is the last."""
        return next(self._numbers) == self._last

    def die(self, name: str) -> NoReturn:
        """End the process as the kernel does."""
        self._write(self._pipe, name.encode())
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()
        raise AssertionError("a killed process goes on")

    def count_calls(self, *, reads: bool) -> None:
        """Make each system call that matters a step."""
        for name in (*_CHANGES, *_READS) if reads else _CHANGES:
            original = getattr(os, name)
            setattr(os, name, self._counted(name, original))
            if getattr(LocalFiles, name, None) is original:  # Held since its import.
                setattr(LocalFiles, name, staticmethod(getattr(os, name)))

    def count_transactions(self) -> None:
        """Make each commit of each database a step, if it changed something."""
        connect = sqlite3.connect

        def traced(*arguments: Any, **keywords: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **keywords)
            connection.set_trace_callback(_Transactions(self).see)
            return connection

        for module in (sqlite3, sqlite3.dbapi2):  # SQLAlchemy asks the second one.
            setattr(module, connect.__name__, traced)

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **keywords: Any) -> Any:
            is_step = name != "open" or arguments[1] & os.O_CREAT
            if is_step and self.is_last():
                if name in _WRITES:
                    descriptor, body, *rest = arguments
                    call(descriptor, memoryview(body)[: len(body) // 2], *rest)
                self.die(name)
            return call(*arguments, **keywords)

        return step


class _Transactions:
    """Sees the statements of one connection."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._is_open = False
        self._has_changed = False

    def see(self, statement: str) -> None:
        """Count what would make a change last."""
        words = statement.lstrip().upper()
        if words.startswith("BEGIN"):
            self._is_open, self._has_changed = True, False
        elif words.startswith("COMMIT"):
            if self._has_changed and self._steps.is_last():
                self._steps.die("commit")
            self._is_open = False
        elif words.startswith(_CHANGING):
            self._has_changed = True
            if not self._is_open and self._steps.is_last():
                self._steps.die(words.splitlines()[0])


async def _rotate(config: Path) -> None:
    await key_commands.rotate(load(config))


async def _serve_until_idle(config: Path) -> None:
    async with running(load(config)) as url, aiohttp.ClientSession() as session:
        api = Api(url, session)
        for job in await api.get("/v1/jobs"):
            await api.succeeded(job)


_COMMANDS = {"serve": _serve_until_idle, "rotate": _rotate}


def _run(config: Path, last_step: int, *, reads: bool, command: str) -> dict[str, Any]:
    """Run a daemon until its jobs have ended, or a command, in a fork; return the step that it died at."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        steps = Steps(last_step, write_end)
        steps.count_transactions()
        steps.count_calls(reads=reads)
        asyncio.run(_COMMANDS[command](config))
        os._exit(0)
    os.close(write_end)
    _, status = os.waitpid(child, 0)
    with os.fdopen(read_end) as pipe:
        return {"died_at": pipe.read() or None, "status": os.waitstatus_to_exitcode(status)}


def main() -> None:
    """Answer requests until there are no more."""
    for line in sys.stdin:
        request = json.loads(line)
        config = Path(request.pop("config"))
        sys.stdout.write(json.dumps(_run(config, **request)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
