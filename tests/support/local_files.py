"""System calls of the local target that misbehave."""

from __future__ import annotations

import asyncio
import os
import threading
from functools import partial
from typing import Any

from targets.local.files import LocalFiles

_CALLS = {name for name in vars(LocalFiles) if not name.startswith("_")} - {"opened"}


class FailingFiles(LocalFiles):
    """Counts the calls from ``fail`` on, and fails the one of the given number, or the first of a name."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._fail_at: int | str | None = None
        self._error = 0

    def fail(self, at: int | str | None, error: int) -> None:
        """Let a call fail with an errno: the n-th from now on, or the next one of that name."""
        self.calls = []
        self._fail_at, self._error = at, error

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return partial(self._call, name, found) if name in _CALLS else found

    def _call(self, name: str, call: Any, *args: Any, **keywords: Any) -> Any:
        self.calls.append(name)
        if self._fail_at not in (len(self.calls), name):
            return call(*args, **keywords)
        self._fail_at = None
        if name == "close":
            call(*args)  # The kernel frees the descriptor, whatever it answers.
        raise OSError(self._error, os.strerror(self._error))


class GatedFiles(LocalFiles):
    """Holds each sync of a file or directory until the test opens the gate."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.reached = asyncio.Event()
        self.gate = threading.Event()

    def fsync(self, descriptor: int) -> None:
        self._loop.call_soon_threadsafe(self.reached.set)
        assert self.gate.wait(timeout=30)
        super().fsync(descriptor)


class DribblingFiles(LocalFiles):
    """Moves a few bytes at a time, as a system may."""

    def write(self, descriptor: int, body: memoryview) -> int:
        return super().write(descriptor, body[:1000])

    def pread(self, descriptor: int, length: int, offset: int) -> bytes:
        return super().pread(descriptor, min(length, 1000), offset)

    def preadv(self, descriptor: int, buffer: memoryview, offset: int) -> int:
        return super().preadv(descriptor, buffer[:1000], offset)
