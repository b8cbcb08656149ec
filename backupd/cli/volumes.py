"""``backupctl volume``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backupd.cli.client import path_of
from backupd.cli.command import Context, Noun

_COLUMNS = ("name", "path", "backup_type", "allow_live", "id")


def register(nouns: Any, shared: ArgumentParser) -> None:
    """Add the noun and its verbs."""
    noun = Noun(nouns, "volume", "the block devices and images that are backed up", shared)
    adding = noun.verb("add", "register a volume", add)
    adding.add_argument("name")
    adding.add_argument("--path", required=True, help="absolute path, on the daemon's machine")
    adding.add_argument("--type", required=True, dest="backup_type", help="name or id of its backup type")
    adding.add_argument("--allow-live", action="store_true", help="back it up though it may be written to")
    adding.add_argument("--direct-io", action="store_true", help="read it past the page cache")
    noun.verb("list", "list the volumes", index)
    noun.verb("show", "show one volume", show).add_argument("volume", help="name or id")
    noun.verb("remove", "forget a volume; its content stays", remove).add_argument("volume", help="name or id")


async def add(context: Context, arguments: Namespace) -> None:
    """Register a volume."""
    body = {
        "name": arguments.name,
        "path": arguments.path,
        "backup_type": arguments.backup_type,
        "allow_live": arguments.allow_live,
        "direct_io": arguments.direct_io,
    }
    context.output.one(await context.client.post("/v1/volumes", body))


async def index(context: Context, _arguments: Namespace) -> None:
    """List the volumes, for people with the names of their types."""
    volumes = await context.client.get("/v1/volumes")
    if not context.output.as_json:
        names = {one["id"]: one["name"] for one in await context.client.get("/v1/backup-types")}
        volumes = [{**one, "backup_type": names.get(one["backup_type_id"])} for one in volumes]
    context.output.rows(volumes, _COLUMNS)


async def show(context: Context, arguments: Namespace) -> None:
    """Show one volume."""
    context.output.one(await context.client.get(path_of("volumes", arguments.volume)))


async def remove(context: Context, arguments: Namespace) -> None:
    """Forget one volume."""
    await context.client.delete(path_of("volumes", arguments.volume))
    context.output.done(f"volume {arguments.volume} is registered no longer")
