"""Restores that were asked for, and what must come out of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backupd.application.restores import NewRestore, Restores
from backupd.model import Backup, Job
from backupd.simulation.guests import BLOCK_BYTES, Copy
from backupd.simulation.model import Model, Seen, Violation
from backupd.simulation.reader import Unreadable


@dataclass(frozen=True, slots=True)
class _Awaited:
    path: Path
    copy: Copy
    lied: frozenset[int]


class Restored:
    """Knows what each restored file must be; a file that is there is whole."""

    def __init__(self, directory: Path, model: Model) -> None:
        directory.mkdir()
        self._directory = directory
        self._model = model
        self._awaited: dict[str, _Awaited] = {}
        self._count = 0

    async def request(self, restores: Restores, backup: Backup, seen: Seen) -> Job | None:
        """Ask for a restore; None when the damage that was done has reached what it would begin with."""
        try:
            copy = self._model.content_of(backup, seen.holders[backup.id])
        except Unreadable:
            return None
        self._count += 1
        path = self._directory / f"{self._count:04}"
        job = await restores.create(backup.project, NewRestore(backup=backup.id, path=str(path)))
        self._awaited[job.id] = _Awaited(path, copy, frozenset(self._model.lied_about(backup)))
        return job

    def is_awaited(self, job_id: str) -> bool:
        """Tell whether the file of a job has not been seen yet."""
        return job_id in self._awaited

    def give_up(self, job_id: str) -> None:
        """Expect no file of a job any more."""
        self._awaited.pop(job_id, None)

    def check(self) -> None:
        """Compare the files that are there. Violation."""
        for job_id, awaited in [*self._awaited.items()]:
            if awaited.path.exists():
                self._compare(job_id, awaited)
                awaited.path.unlink()
                del self._awaited[job_id]

    def _compare(self, job_id: str, awaited: _Awaited) -> None:
        found, expected = awaited.path.read_bytes(), awaited.copy.content()
        if found == expected:
            return
        if len(found) != len(expected):
            raise Violation(f"restore {job_id} has {len(found)} bytes, expected {len(expected)}")
        for start in range(0, len(found), BLOCK_BYTES):
            end = start + BLOCK_BYTES
            if found[start:end] != expected[start:end] and start // BLOCK_BYTES not in awaited.lied:
                raise Violation(f"restore {job_id} is wrong from byte {start} on")
