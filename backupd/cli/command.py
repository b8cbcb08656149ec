"""What every command gets, and how commands are declared."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TextIO

from backupd.cli.client import Client
from backupd.cli.output import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a command works with; ``poll_interval_s`` is the pause between two looks at a job."""

    client: Client
    output: Output
    stderr: TextIO
    stdin: TextIO
    poll_interval_s: float


Command = Callable[[Context, argparse.Namespace], Awaitable[None]]


class Noun:
    """One noun of the command line (``volume``); its verbs are added with ``verb``."""

    def __init__(self, nouns: Any, name: str, summary: str, shared: argparse.ArgumentParser) -> None:
        parser = nouns.add_parser(name, help=summary, description=summary, parents=[shared])
        self._verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
        self._shared = shared

    def verb(self, name: str, summary: str, command: Command) -> argparse.ArgumentParser:
        """Add a verb that runs ``command``, and return its parser for arguments."""
        parser: argparse.ArgumentParser = self._verbs.add_parser(
            name, help=summary, description=summary, parents=[self._shared]
        )
        parser.set_defaults(command=command)
        return parser


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Let a verb that starts a job wait for its end."""
    parser.add_argument("--wait", action="store_true", help="wait for the end, with a progress bar")
