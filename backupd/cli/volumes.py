"""``backupctl volume``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backupd.cli.client import path_of
from backupd.cli.command import Context, Noun

_COLUMNS = ("name", "source", "backup_type", "backup_type_from", "allow_live", "id")
_RETENTION_COLUMNS = ("name", "created_at", "is_kept", "reasons", "id")


def register(nouns: Any, shared: ArgumentParser) -> None:
    """Add the noun and its verbs."""
    noun = Noun(nouns, "volume", "the block devices and images that are backed up", shared)
    adding = noun.verb("add", "register a volume", add)
    adding.add_argument("name")
    _add_where(adding)
    adding.add_argument("--type", dest="backup_type", help="name or id of its backup type; the project's default")
    adding.add_argument("--allow-live", action="store_true", help="back it up though it may be written to")
    adding.add_argument("--direct-io", action="store_true", help="read it past the page cache")
    noun.verb("list", "list the volumes", index)
    noun.verb("show", "show one volume", show).add_argument("volume", help="name or id")
    _register_set_type(noun.verb("set-type", "give a volume another backup type, for new backups", set_type))
    moving = noun.verb("set-source", "say where a volume is now", set_source)
    moving.add_argument("volume", help="name or id")
    _add_where(moving)
    judging = noun.verb("retention", "show what would be kept and deleted, and why; nothing is done", retention)
    judging.add_argument("volume", help="name or id")
    noun.verb("remove", "forget a volume; its content stays", remove).add_argument("volume", help="name or id")


def _add_where(parser: ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--path", help="absolute path, on the daemon's machine")
    where.add_argument("--source", help="address, such as nbd://HOST:PORT/EXPORT, of a kind that the daemon allows")


def _register_set_type(setting: ArgumentParser) -> None:
    setting.add_argument("volume", help="name or id")
    wanted = setting.add_mutually_exclusive_group(required=True)
    wanted.add_argument("type", nargs="?", help="name or id of a backup type")
    wanted.add_argument("--default", action="store_true", help="the default of the project, whatever that becomes")


async def add(context: Context, arguments: Namespace) -> None:
    """Register a volume."""
    body = {
        "name": arguments.name,
        "path": arguments.path,
        "source": arguments.source,
        "backup_type": arguments.backup_type,
        "allow_live": arguments.allow_live,
        "direct_io": arguments.direct_io,
    }
    context.output.one(await context.client.post("/v1/volumes", body))


async def index(context: Context, _arguments: Namespace) -> None:
    """List the volumes."""
    context.output.rows(await context.client.get("/v1/volumes"), _COLUMNS)


async def show(context: Context, arguments: Namespace) -> None:
    """Show one volume."""
    context.output.one(await context.client.get(path_of("volumes", arguments.volume)))


async def set_type(context: Context, arguments: Namespace) -> None:
    """Give one volume another type; None stands for the default."""
    body = {"backup_type": arguments.type}
    context.output.one(await context.client.patch(path_of("volumes", arguments.volume), body))


async def set_source(context: Context, arguments: Namespace) -> None:
    """Say where one volume is now."""
    body = {"path": arguments.path, "source": arguments.source}
    context.output.one(await context.client.put(path_of("volumes", arguments.volume, "source"), body))


async def retention(context: Context, arguments: Namespace) -> None:
    """Show what retention says about the backups of one volume."""
    judged = await context.client.get(path_of("volumes", arguments.volume, "retention"))
    if context.output.as_json:
        context.output.one(judged)
    else:
        context.output.rows(judged["backups"], _RETENTION_COLUMNS)


async def remove(context: Context, arguments: Namespace) -> None:
    """Forget one volume."""
    await context.client.delete(path_of("volumes", arguments.volume))
    context.output.done(f"volume {arguments.volume} is registered no longer")
