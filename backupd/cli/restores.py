"""``backupctl restore``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backupd.cli.command import Context, Noun, add_wait
from backupd.cli.waiting import started


def register(nouns: Any, shared: ArgumentParser) -> None:
    """Add the noun and its verb."""
    noun = Noun(nouns, "restore", "backups written back", shared)
    creating = noun.verb("create", "write a backup to a new file or a block device", create)
    creating.add_argument("backup", help="id")
    creating.add_argument("--to", required=True, metavar="PATH", help="absolute path, on the daemon's machine")
    creating.add_argument("--overwrite", action="store_true", help="destroy what is on the block device")
    creating.add_argument(
        "--allow-damaged", action="store_true", help="restore what is left, with zeros where nothing is; lists those"
    )
    creating.add_argument("--target", help="read from this target only")
    add_wait(creating)


async def create(context: Context, arguments: Namespace) -> None:
    """Restore a backup."""
    body = {
        "backup": arguments.backup,
        "path": arguments.to,
        "overwrite": arguments.overwrite,
        "allow_damaged": arguments.allow_damaged,
        "target": arguments.target,
    }
    await started(context, await context.client.post("/v1/restores", body), wait=arguments.wait)
