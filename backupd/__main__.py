"""``backupd``: parse arguments, read the configuration, run the service or what is done while it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

import backupd
from backupd import key_commands
from backupd.config import Config, default_path, load
from backupd.errors import BackupdError, ConfigError
from backupd.rebuild import rebuild
from backupd.service import serve
from backupd.simulation import command as simulation
from targets.errors import TargetError

_EXIT_FAILED = 1


def main(arguments: list[str] | None = None) -> int:
    """Run the daemon or a command; return 0 when all went well, 1 with a message when it did not."""
    options = _parser().parse_args(arguments)
    if options.command == "simulate":
        return 0 if simulation.run(options) else _EXIT_FAILED
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO if options.command == "serve" else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)  # It tells each of its plugins at level info.
    path = options.config or default_path()
    try:
        config = load(path)
        try:
            for line in options.run(config, options):
                print(line)  # noqa: T201 - a command tells what it did
        except ConfigError as error:  # Only here it is known which file the keys are in.
            raise error.within(path) from error
    except (BackupdError, TargetError) as error:
        print(f"backupd: {error}", file=sys.stderr)  # noqa: T201 - a command says why it ends
        return _EXIT_FAILED
    return 0


def _serve(config: Config, _: argparse.Namespace) -> list[str]:
    # What was imported lives as long as the process: collections need not look at it again and again.
    gc.freeze()
    # Half the cost of a turn of asyncio's own loop, which a read of a few ms feels (docs/design/005).
    _in_loop(serve(config))
    return []


def _in_loop(work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="backupd", description="Back up block volumes.")
    parser.add_argument("--version", action="version", version=f"backupd {backupd.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    _command(commands, "serve", "run the daemon", _serve)
    rebuilding = _command(
        commands,
        "rebuild",
        "make a lost catalog again, from the targets and the master key",
        lambda config, options: _in_loop(
            rebuild(config, without=options.without, forget_writers=options.forget_writers)
        ),
    )
    rebuilding.add_argument(
        "--without", action="append", default=[], metavar="TARGET", help="leave out a target that is gone"
    )
    rebuilding.add_argument(
        "--forget-writers",
        action="store_true",
        help="no other daemon writes to these targets: collections need not think that the lost one still does",
    )
    _register_keys(commands.add_parser("key", help="the master keys; the daemon is stopped meanwhile"))
    simulation.add_arguments(
        commands.add_parser("simulate", help="live through days of faults on a virtual clock, and check every promise")
    )
    return parser


def _register_keys(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True)
    _command(verbs, "list", "show the fingerprints", lambda config, _: key_commands.list_keys(config))
    exporting = _command(
        verbs, "export", "print the keys", lambda config, options: key_commands.export(config, to=options.to)
    )
    exporting.add_argument("--to", type=Path, metavar="FILE", help="write them to a new file instead")
    importing = _command(
        verbs, "import", "take keys in", lambda config, options: key_commands.take_in(config, origin=options.file)
    )
    importing.add_argument("file", nargs="?", type=Path, help="what export has written; without it standard input")
    _command(
        verbs,
        "rotate",
        "make a new key and put every repository under it",
        lambda config, _: _in_loop(key_commands.rotate(config)),
    )
    _command(
        verbs,
        "rewrap",
        "put the repositories under the current key that are not yet",
        lambda config, _: _in_loop(key_commands.rewrap_all(config)),
    )
    retiring = _command(
        verbs,
        "retire",
        "let a key go that no repository needs any more",
        lambda config, options: _in_loop(key_commands.retire(config, options.fingerprint)),
    )
    retiring.add_argument("fingerprint")


def _command(
    commands: Any, name: str, summary: str, run: Callable[[Config, argparse.Namespace], list[str]]
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    command.add_argument("--config", type=Path, help="TOML file; else $BACKUPD_CONFIG, else /etc/backupd/backupd.toml")
    command.add_argument("--verbose", action="store_true", help="log every operation")
    command.set_defaults(run=run)
    return command


if __name__ == "__main__":
    sys.exit(main())
