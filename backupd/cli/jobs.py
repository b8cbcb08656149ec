"""``backupctl job``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backupd.cli.client import path_of
from backupd.cli.command import Context, Noun
from backupd.cli.waiting import check_succeeded, wait_for_job

_COLUMNS = ("kind", "state", "done_bytes", "total_bytes", "created_at", "finished_at", "backup_id", "id")


def register(nouns: Any, shared: ArgumentParser) -> None:
    """Add the noun and its verbs."""
    noun = Noun(nouns, "job", "the work of the daemon", shared)
    listing = noun.verb("list", "list jobs, the newest first", index)
    listing.add_argument("--state", help="only those in this state, such as running")
    listing.add_argument("--kind", help="only those of this kind, such as backup")
    listing.add_argument("--limit", help="at most so many; 100 unless told")
    noun.verb("show", "show one job and its attempts", show).add_argument("job", help="id")
    noun.verb("cancel", "cancel a job", cancel).add_argument("job", help="id")
    noun.verb("wait", "wait for the end of a job", wait).add_argument("job", help="id")


async def index(context: Context, arguments: Namespace) -> None:
    """List jobs."""
    query = {"state": arguments.state, "kind": arguments.kind, "limit": arguments.limit}
    jobs = await context.client.get("/v1/jobs", query)
    if not context.output.as_json:
        jobs = [{**job, **job["progress"]} for job in jobs]
    context.output.rows(jobs, _COLUMNS)


async def show(context: Context, arguments: Namespace) -> None:
    """Show one job."""
    context.output.one(await context.client.get(path_of("jobs", arguments.job)))


async def cancel(context: Context, arguments: Namespace) -> None:
    """Cancel one job."""
    context.output.one(await context.client.post(path_of("jobs", arguments.job, "cancel")))


async def wait(context: Context, arguments: Namespace) -> None:
    """Wait for the end of one job."""
    job = await wait_for_job(context, arguments.job)
    context.output.one(job)
    check_succeeded(job)
