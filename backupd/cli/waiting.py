"""Waiting for the end of a job."""

from __future__ import annotations

import asyncio
from typing import Any

from backupd.cli.client import path_of
from backupd.cli.command import Context
from backupd.cli.errors import CommandError, Unreachable
from backupd.cli.progress import ProgressBar

_FINAL = ("succeeded", "failed", "cancelled")
# A daemon that restarts goes on with the job, so a short silence is no reason to give up.
_SILENT_POLLS_MAX = 60


async def wait_for_job(context: Context, job_id: str) -> dict[str, Any]:
    """Return the job when it has ended, however it did. Raises Unreachable when the daemon stays away."""
    bar = ProgressBar(context.stderr)
    try:
        job = await _look(context, job_id, silent_polls_max=0)
        while job["state"] not in _FINAL:
            bar.draw(job)
            await asyncio.sleep(context.poll_interval_s)
            job = await _look(context, job_id, silent_polls_max=_SILENT_POLLS_MAX)
    except asyncio.CancelledError:
        bar.clear()
        context.stderr.write(f"\nthe job goes on; to wait for it again: backupctl job wait {job_id}\n")
        raise
    bar.clear()
    return job


def check_succeeded(job: dict[str, Any]) -> None:
    """Raise CommandError unless ``job`` succeeded."""
    if job["state"] == "succeeded":
        return
    failure = job["failure"]
    reason = f": {failure['message']} ({failure['code']})" if failure else ""
    raise CommandError(f"the {job['kind']} job {job['id']} {_ENDINGS[job['state']]}{reason}")


_ENDINGS = {"failed": "failed", "cancelled": "was cancelled"}


async def _look(context: Context, job_id: str, *, silent_polls_max: int) -> dict[str, Any]:
    silent_polls = 0
    while True:
        try:
            return dict(await context.client.get(path_of("jobs", job_id)))
        except Unreachable:
            silent_polls += 1
            if silent_polls > silent_polls_max:
                raise
        await asyncio.sleep(context.poll_interval_s)


async def started(context: Context, answer: dict[str, Any], *, wait: bool) -> None:
    """Print what was started; with ``wait`` when it has ended. Raises CommandError unless it succeeded."""
    job = answer["job"]
    if wait:
        job = await wait_for_job(context, job["id"])
        answer = {**answer, "job": job}
        if "backup" in answer:
            answer["backup"] = await context.client.get(path_of("backups", answer["backup"]["id"]))
        if "backups" in answer:
            answer["backups"] = [
                await context.client.get(path_of("backups", backup["id"])) for backup in answer["backups"]
            ]
    context.output.one(answer)
    if wait:
        check_succeeded(job)
