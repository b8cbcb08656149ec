"""``backupd simulate``: runs seeds, tells what each was like, and shows how to have one again that failed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial

from backupd.clock import SystemClock
from backupd.simulation.simulate import Outcome, simulate

DAYS = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--seed", type=_count, default=0, metavar="N", help="the first seed (default: 0)")
    parser.add_argument("--seeds", type=_positive, default=1, metavar="K", help="how many seeds to run (default: 1)")
    parser.add_argument("--days", type=_positive, default=DAYS, metavar="D", help=f"days of each (default: {DAYS})")
    parser.add_argument(
        "--processes", type=_positive, default=1, metavar="P", help="how many seeds to run at a time (default: 1)"
    )


def run(options: argparse.Namespace, write: Callable[[str], object] = sys.stdout.write) -> bool:
    """Run seeds until one fails; return whether all kept every promise."""
    clock = SystemClock()
    started_s = clock.monotonic()
    with closing(_outcomes(options)) as outcomes:
        for outcome in outcomes:
            write(_line(outcome))
            if outcome.failure:
                write(_explained(outcome))
                return False
    minutes = (clock.monotonic() - started_s) / 60
    write(f"{options.seeds} seeds of {options.days} days passed, {options.seeds / minutes:.0f} seeds per minute\n")
    return True


def _outcomes(options: argparse.Namespace) -> Generator[Outcome, None, None]:
    """Yield what becomes of each seed, in order; several at a time, each in a process that runs one after another."""
    play = partial(simulate, days=options.days)
    seeds = range(options.seed, options.seed + options.seeds)
    if options.processes == 1:
        yield from map(play, seeds)
        return
    with ProcessPoolExecutor(options.processes) as executor:
        try:
            yield from executor.map(play, seeds)
        finally:
            executor.shutdown(cancel_futures=True)


def _line(outcome: Outcome) -> str:
    verdict = "FAILED" if outcome.failure else "passed"
    return f"seed {outcome.seed}: {verdict}, {outcome.events} events, trace {outcome.digest[:16]}\n"


def _explained(outcome: Outcome) -> str:
    again = f"backupd simulate --seed {outcome.seed} --days {outcome.days}"
    return "\n".join(["the last events:", *outcome.last_events, "", outcome.failure, f"to see it again: {again}", ""])


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 0 or more")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 1 or more")
    return int(text)
