"""``backupctl target``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backupd.cli.client import path_of
from backupd.cli.command import Context, Noun


def register(nouns: Any, shared: ArgumentParser) -> None:
    """Add the noun and its verbs."""
    noun = Noun(nouns, "target", "the places where backups go, as the daemon's configuration names them", shared)
    noun.verb("list", "list the targets", index)
    noun.verb("show", "show one target and what it can do", show).add_argument("target")


async def index(context: Context, _arguments: Namespace) -> None:
    """List the targets."""
    context.output.rows(await context.client.get("/v1/targets"), ("name", "url"))


async def show(context: Context, arguments: Namespace) -> None:
    """Show one target."""
    context.output.one(await context.client.get(path_of("targets", arguments.target)))
