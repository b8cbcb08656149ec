"""``backupctl target``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backupd.cli.client import path_of
from backupd.cli.command import Context, Noun, add_wait
from backupd.cli.waiting import check_succeeded, started, wait_for_job


def register(nouns: Any, shared: ArgumentParser) -> None:
    """Add the noun and its verbs."""
    noun = Noun(nouns, "target", "the places where backups go, as the daemon's configuration names them", shared)
    noun.verb("list", "list the targets", index)
    noun.verb("show", "show one target and what it can do", show).add_argument("target")
    probing = noun.verb("probe", "measure what a target really does, and keep the result", probe)
    probing.add_argument("target")
    probing.add_argument("--quick", action="store_true", help="only what a promise hangs on, no speed")
    add_wait(probing)
    collecting = noun.verb("collect", "delete from a target what no backup needs any more", collect)
    collecting.add_argument("target")
    collecting.add_argument("--dry-run", action="store_true", help="only say what would go, and why")
    collecting.add_argument(
        "--forget-writer", metavar="ID", help="first forget a daemon with a catalog of its own, which is gone for good"
    )
    add_wait(collecting)


async def index(context: Context, _arguments: Namespace) -> None:
    """List the targets."""
    context.output.rows(await context.client.get("/v1/targets"), ("name", "url"))


async def show(context: Context, arguments: Namespace) -> None:
    """Show one target."""
    context.output.one(await context.client.get(path_of("targets", arguments.target)))


async def probe(context: Context, arguments: Namespace) -> None:
    """Probe one target; with ``--wait`` print what was found."""
    path = path_of("targets", arguments.target)
    answer = await context.client.post(f"{path}/probe", {"quick": arguments.quick})
    if not arguments.wait:
        await started(context, answer, wait=False)
        return
    check_succeeded(await wait_for_job(context, answer["job"]["id"]))
    context.output.one(await context.client.get(path))


async def collect(context: Context, arguments: Namespace) -> None:
    """Collect one target; a dry run is always waited for."""
    body = {"dry_run": arguments.dry_run, "forget_writer": arguments.forget_writer}
    answer = await context.client.post(path_of("targets", arguments.target, "collections"), body)
    if not (arguments.wait or arguments.dry_run):
        await started(context, answer, wait=False)
        return
    job = await wait_for_job(context, answer["job"]["id"])
    check_succeeded(job)
    context.output.one(job["result"])
