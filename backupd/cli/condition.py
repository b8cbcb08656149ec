"""``backupctl scrub``, ``backupctl repair`` and ``backupctl damage``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from backupd.cli.command import Context, Noun, add_wait
from backupd.cli.waiting import started

_COLUMNS = ("target", "key", "offset", "message", "found_at", "backups")


def register(nouns: Any, shared: ArgumentParser) -> None:
    """Add the nouns and their verbs."""
    scrubbing = Noun(nouns, "scrub", "what targets hold, read and checked", shared)
    creating = scrubbing.verb("create", "check what a target holds, what was not for the longest time first", scrub)
    creating.add_argument("target")
    creating.add_argument("--bytes", type=int, metavar="N", help="at most so many; without it everything")
    creating.add_argument("--without-keys", action="store_true", help="only stored checksums; nothing is decrypted")
    add_wait(creating)
    repairing = Noun(nouns, "repair", "damage undone", shared)
    creating = repairing.verb("create", "restore what is damaged on a target from where it still is", repair)
    creating.add_argument("target")
    add_wait(creating)
    showing = Noun(nouns, "damage", "what scrubs have found damaged or lost", shared)
    listing = showing.verb("list", "list damage and the backups that need what is damaged", index)
    listing.add_argument("--target", help="only on this target")
    listing.add_argument("--backup", help="only what this backup needs, by id")


async def scrub(context: Context, arguments: Namespace) -> None:
    """Scrub a target."""
    body = {"target": arguments.target, "bytes": arguments.bytes, "with_keys": not arguments.without_keys}
    await started(context, await context.client.post("/v1/scrubs", body), wait=arguments.wait)


async def repair(context: Context, arguments: Namespace) -> None:
    """Repair a target."""
    answer = await context.client.post("/v1/repairs", {"target": arguments.target})
    await started(context, answer, wait=arguments.wait)


async def index(context: Context, arguments: Namespace) -> None:
    """List damage; for people with how many bytes of each backup are hit."""
    query = {"target": arguments.target, "backup": arguments.backup}
    damages = await context.client.get("/v1/damages", query)
    if not context.output.as_json:
        damages = [{**one, "backups": [_part(backup) for backup in one["backups"]]} for one in damages]
    context.output.rows(damages, _COLUMNS)


def _part(backup: dict[str, Any]) -> str:
    hit = sum(length for _, length in backup["ranges"])
    return f"{backup['backup_id']} ({hit} bytes)"
