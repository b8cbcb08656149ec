"""The files of volumes and snapshots that are made here: sparse, one directory, named by id."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from backupd.errors import InvalidRequest, Unavailable
from chunker.errors import SourceError

_ANSWER_TIMEOUT_S = 30.0
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Makes, extends and removes files in ``executor``. Without ``directory`` nothing can be made."""

    directory: Path | None
    executor: Executor

    def volume(self, volume_id: str) -> Path:
        """Return where the file of a volume is. Unavailable."""
        return self._directory() / f"volume-{volume_id}"

    def snapshot(self, snapshot_id: str) -> Path:
        """Return where the file of a snapshot is. Unavailable."""
        return self._directory() / f"snapshot-{snapshot_id}"

    async def create(self, path: Path, size_bytes: int) -> None:
        """Make a sparse file. Unavailable when there is no directory; InvalidRequest when no file can be so long."""
        await self._answer(lambda: _create(path, size_bytes))

    async def extend(self, path: Path, size_bytes: int) -> None:
        """Make a file longer, never shorter. Unavailable; InvalidRequest when no file can be so long."""
        await self._answer(lambda: _extend(path, size_bytes))

    async def remove(self, path: Path) -> None:
        """Remove a file; one that is gone already is fine. Unavailable."""
        await self._answer(lambda: path.unlink(missing_ok=True))

    async def size_bytes(self, path: str) -> int | None:
        """Return the size of a file or device, None when it cannot be told."""
        try:
            return await self._answer(lambda: _size_bytes(path))
        except Unavailable:
            return None

    async def measured(self, measure: Callable[[], int]) -> int | None:
        """Return what ``measure``, which may block, finds; None when the source cannot be opened now."""
        try:
            return await self._answer(measure)
        except (SourceError, Unavailable):
            return None

    def _directory(self) -> Path:
        if self.directory is None:
            raise Unavailable("No volumes can be made here: the operator has configured no directory for them.")
        return self.directory

    async def _answer(self, work: Callable[[], _Answer]) -> _Answer:
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                return await asyncio.get_running_loop().run_in_executor(self.executor, work)
        except (OSError, TimeoutError) as error:
            if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.EINVAL):
                raise InvalidRequest("Invalid input received: There is no room for a volume of that size.") from error
            # Without the path, which is no tenant's business; the cause is logged with the request.
            raise Unavailable("The storage of the volumes does not do what is asked of it now.") from error


def _create(path: Path, size_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, size_bytes)
    except BaseException:
        path.unlink()
        raise
    finally:
        os.close(descriptor)


def _extend(path: Path, size_bytes: int) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # Whoever extends it further at the same time may be here first.
        if os.fstat(descriptor).st_size < size_bytes:
            os.ftruncate(descriptor, size_bytes)
    finally:
        os.close(descriptor)


def _size_bytes(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)
