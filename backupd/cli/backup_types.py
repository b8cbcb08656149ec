"""``backupctl type``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backupd.cli.client import path_of
from backupd.cli.command import Context, Noun

_COLUMNS = (
    "name",
    "targets",
    "quorum",
    "chunk_size_bytes",
    "compression_level",
    "is_encrypted",
    "is_deduplicated",
    "retention",
    "is_configured",
    "problems",
    "id",
)


def register(nouns: Any, shared: ArgumentParser) -> None:
    """Add the noun and its verbs."""
    noun = Noun(nouns, "type", "the backup types: where backups go and how they are stored", shared)
    _register_add(noun.verb("add", "add a backup type", add))
    noun.verb("list", "list the backup types", index)
    noun.verb("show", "show one backup type", show).add_argument("type", help="name or id")
    noun.verb("remove", "remove a backup type that no volume uses", remove).add_argument("type", help="name or id")


def _register_add(adding: ArgumentParser) -> None:
    adding.add_argument("name")
    adding.add_argument("--target", required=True, help="name of a target of the daemon's configuration")
    adding.add_argument(
        "--copy", action="append", dest="copies", metavar="TARGET", help="another target that gets every backup, too"
    )
    adding.add_argument("--quorum", type=int, help="how many targets must have a backup before it is available; 1")
    adding.add_argument("--chunk-size-bytes", type=int, help="a power of two from 65536 to 4194304")
    adding.add_argument("--compression-level", type=int, help="0 (none), or from 1 (fast) to 19 (small)")
    adding.add_argument("--no-encryption", action="store_true", help="store chunks in the clear")
    adding.add_argument("--no-deduplication", action="store_true", help="look for known chunks in the parent only")
    adding.add_argument("--bytes-per-s", type=int, help="the rate limit of one backup; 0 is none")
    adding.add_argument("--verify-bytes", type=int, help="of what is new, how much is read back before publication")
    adding.add_argument("--retention", metavar="NAME", help="a retention of the daemon's configuration")


async def add(context: Context, arguments: Namespace) -> None:
    """Add a backup type."""
    body = {
        "name": arguments.name,
        "target": arguments.target,
        "copies": arguments.copies,
        "quorum": arguments.quorum,
        "chunk_size_bytes": arguments.chunk_size_bytes,
        "compression_level": arguments.compression_level,
        "is_encrypted": not arguments.no_encryption,
        "is_deduplicated": not arguments.no_deduplication,
        "bytes_per_s": arguments.bytes_per_s,
        "verify_bytes": arguments.verify_bytes,
        "retention": arguments.retention,
    }
    context.output.one(await context.client.post("/v1/backup-types", body))


async def index(context: Context, _arguments: Namespace) -> None:
    """List the backup types, for people with the names of their targets."""
    types = await context.client.get("/v1/backup-types")
    if not context.output.as_json:
        types = [{**one, "targets": [target["name"] for target in one["targets"]]} for one in types]
    context.output.rows(types, _COLUMNS)


async def show(context: Context, arguments: Namespace) -> None:
    """Show one backup type."""
    context.output.one(await context.client.get(path_of("backup-types", arguments.type)))


async def remove(context: Context, arguments: Namespace) -> None:
    """Remove one backup type."""
    await context.client.delete(path_of("backup-types", arguments.type))
    context.output.done(f"backup type {arguments.type} is removed")
