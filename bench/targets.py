"""``make bench-targets``: each driver against the leanest client of its server, and full backups against local ones.

bench/README.md says how to read it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import uvloop

from bench import target_backups, transfers, volume
from bench.stores import KINDS
from bench.target_backups import BackedUp, Profiled
from bench.target_report import print_backups, print_profiles, print_transfers
from bench.transfers import CONCURRENCIES, MIB, PACK_BYTES, SMALL_BYTES, Measured

_PARTS = ("transfers", "backups", "profiles")
_USUAL = ("s3", "swift", "rados", "gcs")


class TargetBench:
    """Measures one store after the other, so that the others' servers take nothing from it."""

    def __init__(self, options: argparse.Namespace, root: Path) -> None:
        self._options = options
        self._root = root
        self._image = root / "volume.img"
        self.transfers: list[Measured] = []
        self.backups: list[BackedUp] = []
        self.profiles: list[Profiled] = []

    def run(self) -> bool:
        """Measure all that was asked for and tell whether it worked: one store that fails costs only its own rows."""
        if {"backups", "profiles"} & {*self._options.parts}:
            volume.make(self._image, self._options.size_mib * MIB)
        works = [self._works(kind) for kind in self._options.only]  # All of them, whatever comes of the first.
        return all(works)

    def _works(self, kind: str) -> bool:
        try:
            self._measure(kind)
        except Exception:  # noqa: BLE001 - whatever it is, the figures of the others are worth having
            print(f"{kind} failed:", flush=True)
            traceback.print_exc()
            return False
        return True

    def _measure(self, kind: str) -> None:
        options = self._options
        with (
            tempfile.TemporaryDirectory(dir=self._root, prefix=f"{kind}-") as directory,
            KINDS[kind](_made(Path(directory) / "store")) as store,
        ):
            print(f"{kind}: {store.server}", flush=True)
            if "transfers" in options.parts:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # That of the daemon.
                    self.transfers += runner.run(
                        transfers.measure(
                            store,
                            (options.pack_mib * MIB, SMALL_BYTES),
                            rounds=options.rounds,
                            seconds=options.seconds,
                            concurrencies=options.at_a_time,
                        )
                    )
            if "backups" in options.parts:
                self.backups.append(
                    target_backups.measure(
                        store,
                        _made(Path(directory) / "daemon"),
                        self._image,
                        rounds=options.rounds,
                        threads=options.threads,
                    )
                )
            if "profiles" in options.parts:
                root = _made(Path(directory) / "daemon")
                self.profiles.append(target_backups.profile(store, root, self._image, threads=options.threads))


def _made(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    return directory


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.targets", description=__doc__)
    listed = _comma_separated
    parser.add_argument("--only", type=listed(KINDS), default=_USUAL, help=f"of {','.join(KINDS)}; all but file")
    parser.add_argument("--parts", type=listed(_PARTS), default=_PARTS, help=f"of {','.join(_PARTS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size-mib", type=int, default=512, help="size of the volume that is backed up")
    parser.add_argument("--pack-mib", type=int, default=PACK_BYTES // MIB, help="size of the large objects")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long one measurement of objects takes")
    parser.add_argument("--at-a-time", type=_numbers, default=CONCURRENCIES, help="requests at a time: 1,8,32")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="workers of the daemon")
    parser.add_argument("--directory", type=Path, help="where to work; default: a temporary directory")
    parser.add_argument("--json", type=Path, help="write every figure here too")
    return parser.parse_args(arguments)


def _comma_separated(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """Return what reads names out of ``known``, with commas between them."""

    def read(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{','.join(unknown)}: expected some of {','.join(known)}")
        return names

    return read


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code says only whether all of it ran."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="backupd-bench-") as directory:
        bench = TargetBench(options, Path(directory))
        try:
            succeeded = bench.run()
        finally:  # What was measured before somebody ended it is worth having, too.
            _report(bench, options.json)
    return 0 if succeeded else 1


def _report(bench: TargetBench, path: Path | None) -> None:
    if bench.transfers:
        print_transfers(bench.transfers)
    if bench.backups:
        print_backups(bench.backups)
    if bench.profiles:
        print_profiles(bench.profiles)
    if path:
        path.write_text(json.dumps({name: [asdict(row) for row in getattr(bench, name)] for name in _PARTS}))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))  # Not before the servers have ended.
    sys.exit(main())
