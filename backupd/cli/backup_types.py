"""``backupctl type``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backupd.cli.client import path_of
from backupd.cli.command import Context, Noun

_COLUMNS = (
    "name",
    "target",
    "chunk_size_bytes",
    "compression_level",
    "is_encrypted",
    "is_deduplicated",
    "id",
)


def register(nouns: Any, shared: ArgumentParser) -> None:
    """Add the noun and its verbs."""
    noun = Noun(nouns, "type", "the backup types: where backups go and how they are stored", shared)
    adding = noun.verb("add", "add a backup type", add)
    adding.add_argument("name")
    adding.add_argument("--target", required=True, help="name of a target of the daemon's configuration")
    adding.add_argument("--chunk-size-bytes", type=int, help="a power of two from 65536 to 4194304")
    adding.add_argument("--compression-level", type=int, help="from 1 (fast) to 19 (small)")
    adding.add_argument("--no-encryption", action="store_true", help="store chunks in the clear")
    adding.add_argument("--no-deduplication", action="store_true", help="look for known chunks in the parent only")
    noun.verb("list", "list the backup types", index)
    noun.verb("show", "show one backup type", show).add_argument("type", help="name or id")
    noun.verb("remove", "remove a backup type that no volume uses", remove).add_argument("type", help="name or id")


async def add(context: Context, arguments: Namespace) -> None:
    """Add a backup type."""
    body = {
        "name": arguments.name,
        "target": arguments.target,
        "chunk_size_bytes": arguments.chunk_size_bytes,
        "compression_level": arguments.compression_level,
        "is_encrypted": not arguments.no_encryption,
        "is_deduplicated": not arguments.no_deduplication,
    }
    context.output.one(await context.client.post("/v1/backup-types", body))


async def index(context: Context, _arguments: Namespace) -> None:
    """List the backup types."""
    context.output.rows(await context.client.get("/v1/backup-types"), _COLUMNS)


async def show(context: Context, arguments: Namespace) -> None:
    """Show one backup type."""
    context.output.one(await context.client.get(path_of("backup-types", arguments.type)))


async def remove(context: Context, arguments: Namespace) -> None:
    """Remove one backup type."""
    await context.client.delete(path_of("backup-types", arguments.type))
    context.output.done(f"backup type {arguments.type} is removed")
