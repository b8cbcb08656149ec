"""``backupctl verify``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backupd.cli.command import Context, Noun, add_wait
from backupd.cli.waiting import started


def register(nouns: Any, shared: ArgumentParser) -> None:
    """Add the noun and its verb."""
    noun = Noun(nouns, "verify", "backups fetched and checked, nothing written", shared)
    creating = noun.verb("create", "check every chunk of a backup", create)
    creating.add_argument("backup", help="id")
    creating.add_argument("--target", help="of what this target has")
    add_wait(creating)


async def create(context: Context, arguments: Namespace) -> None:
    """Verify a backup."""
    body = {"backup": arguments.backup, "target": arguments.target}
    answer = await context.client.post("/v1/verifications", body)
    await started(context, answer, wait=arguments.wait)
