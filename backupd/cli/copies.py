"""``backupctl copy``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backupd.cli.command import Context, Noun, add_wait
from backupd.cli.waiting import started


def register(nouns: Any, shared: ArgumentParser) -> None:
    """Add the noun and its verbs."""
    noun = Noun(nouns, "copy", "backups brought to further targets", shared)
    creating = noun.verb("create", "bring one backup to one more target", create)
    creating.add_argument("backup", help="id")
    creating.add_argument("--target", required=True, help="where it is to be, too")
    add_wait(creating)
    replicating = noun.verb("repository", "bring all that is on one target to another one", replicate)
    replicating.add_argument("--source", required=True, help="the target that has it")
    replicating.add_argument("--target", required=True, help="the target that is to have it, too")
    replicating.add_argument("--plain", action="store_true", help="the backups that are not encrypted")
    add_wait(replicating)


async def create(context: Context, arguments: Namespace) -> None:
    """Copy a backup."""
    body = {"backup": arguments.backup, "target": arguments.target}
    await started(context, await context.client.post("/v1/copies", body), wait=arguments.wait)


async def replicate(context: Context, arguments: Namespace) -> None:
    """Copy a repository."""
    body = {"source": arguments.source, "target": arguments.target, "is_encrypted": not arguments.plain}
    await started(context, await context.client.post("/v1/replications", body), wait=arguments.wait)
