"""Parses the command line, runs one command and turns its outcome into an exit code."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TextIO

from backupd.cli import (
    backup_types,
    backups,
    condition,
    copies,
    health,
    jobs,
    messages,
    offline,
    restores,
    targets,
    verifications,
    volumes,
)
from backupd.cli.client import Client, read_token
from backupd.cli.command import Context
from backupd.cli.errors import CommandError
from backupd.cli.output import Output

_NOUNS = (volumes, backup_types, targets, backups, restores, verifications, copies, condition, jobs, messages, health)
_EPILOG = (
    "without a daemon: backupctl list --from URL --key FILE, backupctl restore --from URL --key FILE --to PATH; "
    "exit codes: 0 done, 1 the operation failed, 2 invalid input, 3 no daemon answers, 4 not found, "
    "5 conflict, 6 unauthorized, 130 interrupted"
)


def main() -> int:
    """Run the command that the arguments of this process say. KeyboardInterrupt once everything is let go of."""
    if offline.is_wanted(sys.argv[1:]):
        return offline.run(sys.argv[1:])
    arguments = build_parser().parse_args()
    return asyncio.run(run(arguments, stdout=sys.stdout, stderr=sys.stderr, stdin=sys.stdin))


async def run(
    arguments: argparse.Namespace,
    *,
    stdout: TextIO,
    stderr: TextIO,
    stdin: TextIO,
    poll_interval_s: float = 0.5,
) -> int:
    """Run the command of ``arguments`` and return its exit code."""
    output = Output(stdout, as_json=arguments.json or not stdout.isatty())
    try:
        async with Client(arguments.url, read_token(arguments.token_file)) as client:
            context = Context(client=client, output=output, stderr=stderr, stdin=stdin, poll_interval_s=poll_interval_s)
            await arguments.command(context, arguments)
    except CommandError as error:
        stderr.write(f"backupctl: {error}\n")
        return error.exit_code
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; what holds for every command may stand before the noun or after the verb."""
    parser = argparse.ArgumentParser(prog="backupctl", description="talks to backupd", epilog=_EPILOG)
    _add_shared(parser, url="http://127.0.0.1:8776", token_file=None, as_json=False)
    # Without defaults, so that what stood before the noun is not forgotten at the verb.
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    _add_shared(shared, url=argparse.SUPPRESS, token_file=argparse.SUPPRESS, as_json=argparse.SUPPRESS)
    nouns = parser.add_subparsers(dest="noun", metavar="NOUN", required=True)
    for noun in _NOUNS:
        noun.register(nouns, shared)
    return parser


def _add_shared(parser: argparse.ArgumentParser, *, url: str, token_file: str | None, as_json: bool | str) -> None:
    parser.add_argument("--url", default=url, help="where the daemon listens (http://127.0.0.1:8776)")
    parser.add_argument("--token-file", default=token_file, metavar="FILE", help="file with a token")
    parser.add_argument(
        "--json",
        action="store_true",
        default=as_json,
        help="print JSON, as is done where there is no terminal",
    )
