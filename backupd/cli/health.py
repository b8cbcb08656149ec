"""``backupctl health``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backupd.cli.command import Context


def register(nouns: Any, shared: ArgumentParser) -> None:
    """Add the noun, which is a verb too."""
    summary = "show whether the daemon is well"
    nouns.add_parser("health", help=summary, description=summary, parents=[shared]).set_defaults(command=show)


async def show(context: Context, _arguments: Namespace) -> None:
    """Show what the daemon says about itself."""
    context.output.one(await context.client.get("/healthz"))
