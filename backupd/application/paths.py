"""What the daemon may read and write: files and devices below the configured directories, sources that are allowed."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from backupd.application.fields import invalid
from backupd.config import PathsConfig
from backupd.errors import InvalidRequest, shown
from chunker.errors import InvalidAddress
from chunker.sources.address import Address, redacted
from chunker.sources.open import Sources

_ANSWER_TIMEOUT_S = 10.0
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Checks paths in ``executor``, because a dead device or mount may not answer.

    ``made`` is where the daemon itself makes volumes; those may be read as the others may.
    """

    config: PathsConfig
    sources: Sources
    executor: Executor
    made: tuple[Path, ...] = ()

    async def check_source(self, path: str) -> None:
        """Raise InvalidRequest unless ``path`` is a readable file or block device below ``paths.sources``."""
        await self._answer(path, lambda: check_source(path, allowed=(*self.config.sources, *self.made)))

    async def check_address(self, source: str) -> str:
        """Return ``source`` as volumes have it. InvalidRequest unless it is an address that may be read."""
        allowed = (*self.config.sources, *self.made)
        return await self._answer(redacted(source), lambda: check_address(source, self.sources, allowed=allowed))

    async def check_group(self, sources: Sequence[str]) -> None:
        """Raise InvalidRequest unless volumes of these addresses can be frozen at one instant."""
        shown = ", ".join(map(redacted, sources))
        try:
            await self._answer(shown, lambda: self.sources.check_group(sources))
        except InvalidAddress as error:
            raise InvalidRequest(f"volumes: {error}") from error

    async def check_destination(self, path: str, *, overwrite: bool) -> None:
        """Raise InvalidRequest unless a restore may write to ``path``."""
        await self._answer(path, lambda: check_destination(path, overwrite=overwrite, allowed=self.config.restores))

    async def check_overwritable(self, path: str) -> None:
        """Raise InvalidRequest unless what is at ``path`` may be overwritten where it is."""
        allowed = (*self.config.restores, *self.made)
        await self._answer(path, lambda: check_overwritable(path, allowed=allowed))

    async def same(self, path: str, others: Collection[str]) -> set[str]:
        """Return those of ``others`` that lead where ``path`` does, however they are written."""
        return await self._answer(path, lambda: _same(path, others))

    async def _answer(self, path: str, check: Callable[[], _Answer]) -> _Answer:
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                return await asyncio.get_running_loop().run_in_executor(self.executor, check)
        except TimeoutError:
            raise invalid("path", path, f"a path that answers within {_ANSWER_TIMEOUT_S:g} s") from None


def _same(path: str, others: Collection[str]) -> set[str]:
    real = os.path.realpath(path)
    return {other for other in others if os.path.realpath(other) == real}


def check_address(source: str, sources: Sources, *, allowed: tuple[Path, ...]) -> str:
    """Return ``source`` in its canonical form. InvalidRequest unless the operator allows to read it. Blocks."""
    try:
        address = Address.parse(source)
        sources.check(source)
    except InvalidAddress as error:
        raise InvalidRequest(f"source = {shown(redacted(source))}: {error}") from error
    if address.kind == "file":
        check_source(address.path, allowed=allowed)
    return str(address)


def check_source(path: str, *, allowed: tuple[Path, ...]) -> None:
    """Raise InvalidRequest unless ``path`` is a readable file or block device below one of ``allowed``."""
    real = _resolve(path, allowed=allowed, key="paths.sources")
    kind = _kind(path, real)
    if kind is None:
        raise invalid("path", path, "a file or block device that exists")
    if not (stat.S_ISREG(kind) or stat.S_ISBLK(kind)):
        raise invalid("path", path, "a regular file or a block device")
    try:
        os.close(os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW))
    except OSError as error:
        raise _unusable(path, "a file or block device that the daemon can read", error) from error


def check_destination(path: str, *, overwrite: bool, allowed: tuple[Path, ...]) -> None:
    """Raise InvalidRequest unless ``path`` is a new file, or a block device that may be overwritten."""
    real = _resolve(path, allowed=allowed, key="paths.restores")
    kind = _kind(path, real)
    if kind is None:
        if path.endswith("/"):
            raise invalid("path", path, "a file name, not a directory")
        if not real.parent.is_dir():
            raise invalid("path", path, f"a new file in a directory that exists; there is no {real.parent}")
    elif stat.S_ISREG(kind):
        raise invalid("path", path, "a file that does not exist yet; a restore never overwrites a regular file")
    elif not stat.S_ISBLK(kind):
        raise invalid("path", path, "a file that does not exist yet or a block device")
    elif not overwrite:
        raise invalid("overwrite", overwrite, f"true, because a restore destroys what is on the block device {path}")


def check_overwritable(path: str, *, allowed: tuple[Path, ...]) -> None:
    """Raise InvalidRequest unless ``path`` is a file or block device below one of ``allowed``."""
    kind = _kind(path, _resolve(path, allowed=allowed, key="paths.restores"))
    if kind is None or not (stat.S_ISREG(kind) or stat.S_ISBLK(kind)):
        raise invalid("path", path, "a regular file or a block device that exists")


def _resolve(path: str, *, allowed: tuple[Path, ...], key: str) -> Path:
    if not path.startswith("/") or "\0" in path or ".." in Path(path).parts:
        raise invalid("path", path, 'an absolute path without ".."')
    try:
        real = Path(path).resolve()
        roots = [root.resolve() for root in allowed]
    except (OSError, RuntimeError, UnicodeError) as error:  # RuntimeError: a loop of links.
        raise _unusable(path, "a path that can be resolved", error) from error
    if any(real.is_relative_to(root) for root in roots):
        return real
    leads_to = "" if real == Path(path) else f"; it leads to {real}"
    below = f"one of {', '.join(map(str, allowed))}" if allowed else "a directory of that list, which is empty"
    raise invalid("path", path, f"a path below {below} ({key} of the configuration){leads_to}")


def _kind(path: str, real: Path) -> int | None:
    try:
        return real.stat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, "a path that the daemon can look at", error) from error


def _unusable(path: str, expected: str, error: Exception) -> InvalidRequest:
    return invalid("path", path, f"{expected} ({_reason(error)})")


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "it is no text that can be a file name"
    if isinstance(error, RuntimeError):
        return "a loop of links"
    return ((error.strerror if isinstance(error, OSError) else None) or type(error).__name__).lower()
