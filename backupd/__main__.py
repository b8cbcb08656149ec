"""``backupd serve``: parse arguments, read the configuration, run the service."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
from pathlib import Path

import uvloop

import backupd
from backupd.config import default_path, load
from backupd.errors import BackupdError, ConfigError
from backupd.service import serve

_EXIT_FAILED = 1


def main(arguments: list[str] | None = None) -> int:
    """Run the daemon; return 0 after a graceful stop, 1 with a message when it could not run."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)  # It tells each of its plugins at level info.
    try:
        _run(options.config or default_path())
    except BackupdError as error:
        print(f"backupd: {error}", file=sys.stderr)  # noqa: T201 - a command says why it ends
        return _EXIT_FAILED
    return 0


def _run(path: Path) -> None:
    config = load(path)
    # What was imported lives as long as the process: collections need not look at it again and again.
    gc.freeze()
    try:
        # Half the cost of a turn of asyncio's own loop, which a read of a few ms feels (docs/design/005).
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(config))
    except ConfigError as error:  # Only here it is known which file the keys are in.
        raise error.within(path) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="backupd", description="Back up block volumes.")
    parser.add_argument("--version", action="version", version=f"backupd {backupd.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("serve", help="run the daemon")
    command.add_argument("--config", type=Path, help="TOML file; else $BACKUPD_CONFIG, else /etc/backupd/backupd.toml")
    command.add_argument("--verbose", action="store_true", help="log every operation")
    return parser


if __name__ == "__main__":
    sys.exit(main())
