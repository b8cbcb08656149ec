"""``backupctl backup``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backupd.cli.client import path_of
from backupd.cli.command import Context, Noun, add_wait
from backupd.cli.errors import InvalidInput
from backupd.cli.extents import read_changed_extents
from backupd.cli.waiting import started

_COLUMNS = (
    "volume",
    "name",
    "state",
    "mode",
    "read_as",
    "size_bytes",
    "stored_bytes",
    "created_at",
    "verified_at",
    "condition",
    "id",
)


def register(nouns: Any, shared: ArgumentParser) -> None:
    """Add the noun and its verbs."""
    noun = Noun(nouns, "backup", "points in time of volumes", shared)
    _register_create(noun.verb("create", "back a volume up", create))
    listing = noun.verb("list", "list the backups", index)
    listing.add_argument("--volume", help="only those of this volume, by name or id")
    noun.verb("show", "show one backup", show).add_argument("backup", help="id")
    deleting = noun.verb("delete", "delete a backup; every other one stays whole", delete)
    deleting.add_argument("backup", help="id")
    add_wait(deleting)
    holding = noun.verb("hold", "keep a backup from being deleted, by retention, too", hold)
    holding.add_argument("backup", help="id")
    holding.add_argument("--reason", default="held by an operator", help="shown to whoever wants to delete it")
    noun.verb("release", "end the hold on a backup", release).add_argument("backup", help="id")


def _register_create(creating: ArgumentParser) -> None:
    creating.add_argument(
        "volume", nargs="+", help="name or id; of several, such as the disks of one machine, all are of one instant"
    )
    creating.add_argument("--name", help="a name for the backup; without one its time")
    mode = creating.add_mutually_exclusive_group()
    mode.add_argument("--full", action="store_const", const="full", dest="mode", help="read everything")
    mode.add_argument(
        "--incremental",
        action="store_const",
        const="incremental",
        dest="mode",
        help="fail if there is no parent",
    )
    creating.add_argument(
        "--type", dest="backup_type", help="name or id of a backup type for this backup, if the policy lets it be named"
    )
    creating.add_argument("--parent", help="id of the backup to start from; without it the latest one")
    creating.add_argument(
        "--changed-extents",
        metavar="FILE",
        help='JSON list of what changed since --parent; "-" reads standard input',
    )
    add_wait(creating)


async def create(context: Context, arguments: Namespace) -> None:
    """Back a volume up, or several at one instant."""
    body = {"mode": arguments.mode, "name": arguments.name, "backup_type": arguments.backup_type}
    if len(arguments.volume) > 1:
        if arguments.parent is not None or arguments.changed_extents is not None:
            raise InvalidInput("--parent and --changed-extents are for a backup of one volume")
        answer = await context.client.post("/v1/backup-groups", {"volumes": arguments.volume, **body})
        await started(context, answer, wait=arguments.wait)
        return
    extents = None
    if arguments.changed_extents is not None:
        extents = read_changed_extents(arguments.changed_extents, context.stdin)
    body |= {"volume": arguments.volume[0], "parent": arguments.parent, "changed_extents": extents}
    await started(context, await context.client.post("/v1/backups", body), wait=arguments.wait)


async def index(context: Context, arguments: Namespace) -> None:
    """List the backups, for people with the names of their volumes."""
    backups = await context.client.get("/v1/backups", {"volume": arguments.volume})
    if not context.output.as_json:
        names = {one["id"]: one["name"] for one in await context.client.get("/v1/volumes")}
        backups = [_row(one, names) for one in backups]
    context.output.rows(backups, _COLUMNS)


async def show(context: Context, arguments: Namespace) -> None:
    """Show one backup."""
    context.output.one(await context.client.get(path_of("backups", arguments.backup)))


async def delete(context: Context, arguments: Namespace) -> None:
    """Delete one backup."""
    answer = await context.client.delete(path_of("backups", arguments.backup))
    await started(context, answer, wait=arguments.wait)


async def hold(context: Context, arguments: Namespace) -> None:
    """Hold one backup."""
    path = path_of("backups", arguments.backup, "hold")
    context.output.one(await context.client.put(path, {"reason": arguments.reason}))


async def release(context: Context, arguments: Namespace) -> None:
    """Release one backup."""
    await context.client.delete(path_of("backups", arguments.backup, "hold"))
    context.output.done("released")


def _row(backup: dict[str, Any], volume_names: dict[str, str]) -> dict[str, Any]:
    stored_bytes = (backup["statistics"] or {}).get("stored_bytes")
    verified_at = (backup["verification"] or {}).get("verified_at")
    volume = volume_names.get(backup["volume_id"])
    return {
        **backup,
        "volume": volume,
        "stored_bytes": stored_bytes,
        "verified_at": verified_at,
        "condition": _condition(backup),
    }


def _condition(backup: dict[str, Any]) -> str | None:
    # Verified says nothing about what has happened to it since, so only what is wrong is told.
    if backup["is_damaged"]:
        return "damaged"
    return "suspect" if backup["suspect_reason"] is not None else None
