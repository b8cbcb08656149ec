"""The clone job: the file of a snapshot, or of a volume that is made from something, is filled.

Started again after a crash it begins anew: the same bytes into the same file.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.model import Job
from backupd.pipeline.progress import ProgressMeter
from chunker.cloning import copy_part, share
from chunker.destinations.descriptor import translated

_STEP_BYTES = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class _Open:
    source: int
    copy: int
    size_bytes: int
    is_shared: bool

    def close(self) -> None:
        os.close(self.source)
        os.close(self.copy)


class CloneBody:
    """Runs clone jobs."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Fill the file that the request names with what the other one holds."""
        workers = self._resources.workers
        run.progress = progress = ProgressMeter(self._resources.clock)
        files = await workers.opened(partial(open_files, job.request["from"], job.request["to"]), _Open.close)
        progress.total_bytes = files.size_bytes
        try:
            for offset in range(0, 0 if files.is_shared else files.size_bytes, _STEP_BYTES):
                length = min(_STEP_BYTES, files.size_bytes - offset)
                await workers.run(_copy, files, job.request["to"], offset, length)
                progress.add(length)
            await workers.run(_settle, files, job.request["to"])
        finally:
            await workers.run(files.close)


def open_files(source: str, copy: str) -> _Open:
    """Open what is copied, and what it is copied to: that becomes as long, and shares the blocks if it can."""
    with translated(Path(copy), "cannot be filled"), ExitStack() as opening:
        source_file = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        opening.callback(os.close, source_file)
        size_bytes = os.lseek(source_file, 0, os.SEEK_END)
        copy_file = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        opening.callback(os.close, copy_file)
        whole_bytes = max(size_bytes, os.lseek(copy_file, 0, os.SEEK_END))
        os.ftruncate(copy_file, 0)  # What an attempt before this one may have written is no hole.
        os.ftruncate(copy_file, whole_bytes)
        is_shared = share(source_file, copy_file)
        opening.pop_all()
        return _Open(source_file, copy_file, size_bytes, is_shared)


def _copy(files: _Open, name: str, offset_bytes: int, length_bytes: int) -> None:
    with translated(Path(name), f"cannot be filled at byte {offset_bytes}"):
        copy_part(files.source, files.copy, offset_bytes, length_bytes)


def _settle(files: _Open, name: str) -> None:
    with translated(Path(name), "cannot be made durable"):
        os.fsync(files.copy)
