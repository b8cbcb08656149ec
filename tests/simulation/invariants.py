"""What must hold: after each step, and once nothing goes wrong any more."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from backupd.catalog import jobs
from backupd.model import Attempt, AttemptState, BackupState, Job, JobState
from tests.simulation import stored

if TYPE_CHECKING:
    from tests.simulation.run import Run

PROJECT = "default"


async def check_always(run: Run) -> None:
    """Check what holds at every instant."""
    await _one_attempt_holds_a_job(run)
    await _every_manifest_has_its_backup(run)
    await _finished_restores_are_exact(run)


async def check_at_rest(run: Run) -> None:
    """Check what must be true once every job has ended, on a target that works."""
    backups = await run.catalog.backups(PROJECT)
    assert {backup.state for backup in backups} <= {BackupState.AVAILABLE, BackupState.ERROR}
    available = [backup for backup in backups if backup.state is BackupState.AVAILABLE]
    run.note(f"{len(available)} backups of {len(backups)} are available")
    restores = [await run.restore(backup) for backup in available]
    await run.come_to_end()
    for job in restores:
        ended = await run.catalog.job(PROJECT, job.id)
        assert ended.state is JobState.SUCCEEDED, ended
    await check_always(run)
    assert not {job.id for job in restores} & run.expected.keys(), "a restore succeeded and left no file"


async def _one_attempt_holds_a_job(run: Run) -> None:
    for job, attempts in await run.catalog._run(_jobs_with_attempts):
        states = Counter(attempt.state for attempt in attempts)
        assert states[AttemptState.RUNNING] <= (0 if job.state.is_final else 1), job
        assert states[AttemptState.SUCCEEDED] == (job.state is JobState.SUCCEEDED), job


def _jobs_with_attempts(connection: Connection) -> list[tuple[Job, list[Attempt]]]:
    found = jobs.all_of(connection, PROJECT, state=None, kind=None, limit=1000)
    return [(job, jobs.attempts_of(connection, job.id)) for job in found]


async def _every_manifest_has_its_backup(run: Run) -> None:
    """A backup that is available can be found on the target alone, and one that is deleted can not."""
    backups = {backup.id: backup for backup in await run.catalog.backups(PROJECT, include_deleted=True)}
    listed = await stored.manifest_ids(run.shared)
    for backup_id in listed:
        assert backups[backup_id].state is not BackupState.DELETED, backups[backup_id]
    for backup in backups.values():
        if backup.state is BackupState.AVAILABLE:
            assert backup.id in listed, backup


async def _finished_restores_are_exact(run: Run) -> None:
    for job_id, copy in list(run.expected.items()):
        path = run.restore_path(job_id)
        if path.exists():
            assert path.read_bytes() == copy.content(), f"restore {job_id} differs"
            del run.expected[job_id]
