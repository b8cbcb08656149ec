"""``backupctl list --from`` and ``backupctl restore --from``: no daemon, no database, no configuration.

All it takes is the url of a target, what the target wants for that, and the master key.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from backupd.clock import SystemClock
from backupd.errors import BackupdError, CorruptObject, InvalidRequest, NotFound
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.restore import RestorePipeline
from backupd.pipeline.salvage import DamagedRanges
from backupd.pipeline.workers import Workers
from backupd.repository import key_text, layout
from backupd.repository.survey import Published, Survey, survey
from chunker.destinations.open import open_destination
from chunker.errors import ChunkerError
from targets.errors import TargetError
from targets.open import open_target
from targets.wrappers.retry import Retry

_MEMORY_BYTES = 128 * 1024**2
_RETRIES_MAX = 12
_TIMEOUT_S = 60.0
_FAILED, _INVALID, _NOT_FOUND = 1, 2, 4  # As of every other command of backupctl.
_COLUMNS = ("volume", "created_at", "mode", "size_bytes", "name", "id")


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    return asyncio.run(run(arguments))


async def run(arguments: Sequence[str]) -> int:
    """Run one command in the loop that is there, and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _FAILED if await options.run(options) else 0
    except BaseExceptionGroup as errors:
        ours, others = errors.split((BackupdError, ChunkerError, TargetError))
        if others is not None or ours is None:
            raise
        first: BaseException = ours
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        return _failed(first)
    except (BackupdError, ChunkerError, TargetError) as error:
        return _failed(error)


def _failed(error: BaseException) -> int:
    print(f"backupctl: {error}", file=sys.stderr)  # noqa: T201 - a command says why it ends
    return _INVALID if isinstance(error, InvalidRequest) else _NOT_FOUND if isinstance(error, NotFound) else _FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="backupctl", description="reads a target without any daemon")
    verbs = parser.add_subparsers(required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--from", dest="url", required=True, metavar="URL", help="the target, as in a configuration")
    shared.add_argument("--key", required=True, type=Path, metavar="FILE", help="master.key, or what key export wrote")
    shared.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="option of the target; VALUE may be JSON"
    )
    shared.add_argument("--project", type=_project, default="default", help="whose backups")
    listing = verbs.add_parser("list", parents=[shared], help="list the backups that a target has")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=_list)
    restoring = verbs.add_parser("restore", parents=[shared], help="write a backup to a new file or a block device")
    which = restoring.add_mutually_exclusive_group()
    which.add_argument("--backup", metavar="ID", help="this backup")
    which.add_argument("--volume", metavar="NAME", help="the latest backup of this volume, by name or id")
    restoring.add_argument("--to", required=True, type=_path, metavar="PATH", help="a new file, or a block device")
    restoring.add_argument("--overwrite", action="store_true", help="destroy what is on the block device")
    restoring.add_argument(
        "--allow-damaged", action="store_true", help="restore what is left, with zeros where nothing is; lists those"
    )
    restoring.set_defaults(run=_restore)
    return parser


def _path(text: str) -> Path:
    return Path(text).absolute()


def _project(text: str) -> str:
    try:
        layout.prefix(text, is_encrypted=True)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


async def _list(options: argparse.Namespace) -> bool:
    """Tell whether there may be backups that cannot be listed."""
    async with _surveyed(options) as found:
        rows = [_row(one) for one in _newest_first(found)]
        if options.json:
            print(json.dumps(rows, indent=2))  # noqa: T201 - what was asked for
        else:
            print(_table(rows), end="")  # noqa: T201 - what was asked for
        for problem in found.problems:
            print(f"backupctl: {problem}", file=sys.stderr)  # noqa: T201 - a command tells
        return bool(found.problems)


async def _restore(options: argparse.Namespace) -> None:
    async with _surveyed(options) as found:
        chosen = _chosen(found, options)
        manifest = chosen.manifest
        repository = found.repositories[options.url, chosen.project, chosen.is_encrypted]
        _check_destination(options.to, overwrite=options.overwrite)
        workers = Workers(os.cpu_count() or 1, spare_count=1)
        damaged = DamagedRanges() if options.allow_damaged else None
        try:
            destination = await workers.opened(
                partial(
                    open_destination,
                    options.to,
                    manifest.size_bytes,
                    restore_id=str(uuid4()),
                    overwrite=options.overwrite,
                ),
                lambda made: made.abort(),
            )
            await RestorePipeline(
                manifest=manifest,
                repository=repository,
                destination=destination,
                workers=workers,
                budget=ByteBudget(_MEMORY_BYTES),
                progress=ProgressMeter(SystemClock()),
                damaged=damaged,
            ).run()
        finally:
            workers.close()
    told = f"backup {manifest.backup_id} of volume {manifest.volume_name}, {manifest.created_at}, is in {options.to}"
    print(told)  # noqa: T201 - what was done
    for offset, length in damaged.ranges if damaged is not None else ():
        print(f"DAMAGED: zeros stand in bytes {offset} to {offset + length}")  # noqa: T201 - what is not as it was


@asynccontextmanager
async def _surveyed(options: argparse.Namespace) -> AsyncIterator[Survey]:
    keyring = key_text.load(options.key)
    target = open_target(options.url, **_options(options.option))
    try:
        retried = Retry(target, retries_max=_RETRIES_MAX, timeout_s=_TIMEOUT_S, sleep=SystemClock().sleep)
        found = await survey({options.url: retried}, keyring, project=options.project)
        if not found.repositories:
            problems = "".join(f"\n{problem}" for problem in found.problems)
            raise CorruptObject(f"the target has no repository of project {options.project} that can be read{problems}")
        yield found
    finally:
        await target.aclose()


def _options(given: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise InvalidRequest(f"--option {name}: expected NAME=VALUE")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def _newest_first(found: Survey) -> list[Published]:
    return sorted(found.backups.values(), key=lambda one: one.manifest.created_at, reverse=True)


def _chosen(found: Survey, options: argparse.Namespace) -> Published:
    """Return the backup that is meant.

    NotFound; InvalidRequest when nobody says of which volume; CorruptObject when a later one may be damaged.
    """
    if options.backup is not None:
        if options.backup not in found.backups:
            problems = "".join(f"\n{problem}" for problem in found.problems)
            raise NotFound(f"the target has no backup {options.backup} that can be read{problems}")
        return found.backups[options.backup]
    if found.problems:  # What cannot be read may be newer than what can.
        problems = "\n".join(found.problems)
        raise CorruptObject(
            f"which backup is the latest is not certain; expected --backup with one of list\n{problems}"
        )
    every = _newest_first(found)
    names = sorted({one.manifest.volume_name for one in every})
    if options.volume is None and len({one.manifest.volume_id for one in every}) > 1:
        raise InvalidRequest(f"--volume: missing; expected one of {', '.join(names)}, or --backup")
    for one in every:
        if options.volume is None or options.volume in (one.manifest.volume_name, one.manifest.volume_id):
            return one
    raise NotFound(f"the target has no backup of volume {options.volume}; it has those of {', '.join(names) or 'none'}")


def _check_destination(path: Path, *, overwrite: bool) -> None:
    if path.is_block_device() and not overwrite:
        raise InvalidRequest(f"--to {path}: is a block device; expected --overwrite with it")
    if path.exists() and not path.is_block_device():
        raise InvalidRequest(f"--to {path}: exists; expected a name that is free")


def _row(one: Published) -> dict[str, Any]:
    manifest = one.manifest
    return {
        "volume": manifest.volume_name,
        "created_at": manifest.created_at,
        "mode": manifest.mode,
        "size_bytes": manifest.size_bytes,
        "name": manifest.backup_name,
        "id": manifest.backup_id,
        "volume_id": manifest.volume_id,
        "is_encrypted": one.is_encrypted,
    }


def _table(rows: Sequence[dict[str, Any]]) -> str:
    cells = [[column.upper().replace("_", " ") for column in _COLUMNS]]
    cells += [[_printable(str(row[column])) for column in _COLUMNS] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
