"""``backupctl message``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backupd.cli.command import Context, Noun

_COLUMNS = ("created_at", "resource_type", "resource_id", "text")


def register(nouns: Any, shared: ArgumentParser) -> None:
    """Add the noun and its verbs."""
    noun = Noun(nouns, "message", "what went wrong after it had been asked for", shared)
    noun.verb("list", "list what went wrong, the newest first", index)


async def index(context: Context, _arguments: Namespace) -> None:
    """List the messages."""
    context.output.rows(await context.client.get("/v1/messages"), _COLUMNS)
