"""What is there that could be managed: files and devices, and what the allowed places of other kinds list."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from backupd.clock import Clock
from chunker.errors import SourceError
from chunker.sources.base import Found
from chunker.sources.open import Sources

_FOUND_MAX = 10_000
_DEPTH_MAX = 4
_ANSWER_TIMEOUT_S = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """Looks through the places in ``executor``, one after the other: it has other work, too."""

    roots: tuple[Path, ...]
    sources: Sources
    clock: Clock
    executor: Executor

    async def all(self) -> list[Found]:
        """Return what there is, at most 10,000; a place that cannot be listed in time is logged and left out."""
        ends_at_s = self.clock.monotonic() + _ANSWER_TIMEOUT_S
        listings: dict[str, Callable[[], Iterator[Found]]] = {
            f"files below {root}": partial(_files_below, root) for root in self.roots
        }
        found: dict[str, Found] = {}
        for place, listing in (listings | dict(self.sources.listings())).items():
            found |= {one.source: one for one in await self._listed(place, listing, ends_at_s)}
        return list(found.values())[:_FOUND_MAX]

    async def _listed(self, place: str, listing: Callable[[], Iterator[Found]], ends_at_s: float) -> list[Found]:
        try:
            async with asyncio.timeout(ends_at_s - self.clock.monotonic()):
                return await asyncio.get_running_loop().run_in_executor(
                    self.executor, lambda: list(self._until(ends_at_s, listing()))
                )
        except (SourceError, OSError) as error:  # TimeoutError is one of the latter.
            _log.warning("what is at %s is not in the list: %s", place, str(error) or "no answer in time")
            return []

    def _until(self, ends_at_s: float, found: Iterable[Found]) -> Iterator[Found]:
        """Do not go on when nobody waits any more."""
        for count, one in enumerate(found):
            if self.clock.monotonic() > ends_at_s:
                raise TimeoutError
            if count == _FOUND_MAX:
                return
            yield one


def _files_below(root: Path) -> Iterator[Found]:
    """Yield each regular file and block device; links and hidden files are passed over."""
    for directory, folders, names in os.walk(root):
        depth = len(Path(directory).relative_to(root).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if depth < _DEPTH_MAX else []
        for name in sorted(names):
            if not name.startswith(".") and (size := _size_bytes(path := f"{directory}/{name}")):
                yield Found(path, size)


def _size_bytes(path: str) -> int:
    try:
        mode = os.lstat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            return 0
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return 0
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    except OSError:
        return 0
    finally:
        os.close(descriptor)
