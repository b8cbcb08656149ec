"""``make bench``: the service against the limit, in one run on one machine. bench/README.md says how to read it."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import volume
from bench.daemon import Daemon
from bench.figures import median, median_text, pairs_of, ratios, spread_text

_MIB = 1024 * 1024
_CHANGED_CHUNKS = 64
Cost = dict[str, Any]


class Bench:
    """Measures in ``root``: each job of the service next to the same job of the limit."""

    def __init__(self, root: Path, daemon: Daemon, *, threads: int) -> None:
        self._root = root
        self._daemon = daemon
        self._threads = threads
        self._image = root / "volume.img"
        self._round = 0
        self._last_backup = ""

    def round(self) -> dict[str, tuple[Cost, Cost]]:
        """Return (service, limit) for each job. Each round has a new volume row, so nothing is a duplicate."""
        self._round += 1
        name = f"round-{self._round}"
        # One type a round and no de-duplication between rounds: the bytes are the same each time.
        kind = {"name": name, "target": "local", "is_deduplicated": False}
        self._daemon.post("/v1/backup-types", kind)
        self._daemon.post("/v1/volumes", {"name": name, "path": str(self._image), "backup_type": name})
        limit_dir = self._root / f"limit-{name}"
        limit_dir.mkdir()
        results = {"full": self._both(lambda: self._backup(name), lambda: self._limit_full(limit_dir))}
        backup = self._last_backup
        restored, limit_restored = self._root / "restored.img", self._root / "limit.img"
        results["restore"] = self._both(
            lambda: self._daemon.run("/v1/restores", {"backup": backup, "path": str(restored)}),
            lambda: self._limit("restore", limit_dir, "--destination", str(limit_restored)),
        )
        for copy in (restored, limit_restored):
            subprocess.run(["cmp", self._image, copy], check=True)
            copy.unlink()
        results["verify"] = self._both(
            lambda: self._daemon.run("/v1/verifications", {"backup": backup}),
            lambda: self._limit("verify", limit_dir),
        )
        extents = volume.change(self._image, chunks=_CHANGED_CHUNKS, seed=self._round)
        results["incremental"] = self._both(
            lambda: self._backup(name, extents), lambda: self._limit_incremental(limit_dir, extents)
        )
        return results

    def _both(self, service: Callable[[], Cost], limit: Callable[[], Cost]) -> tuple[Cost, Cost]:
        """Run one after the other, in turns who is first, each with nothing left to be written back."""
        first, second = (service, limit) if self._round % 2 else (limit, service)
        os.sync()
        one = first()
        os.sync()
        other = second()
        return (one, other) if first is service else (other, one)

    def _backup(self, name: str, extents: list[tuple[int, int]] | None = None) -> Cost:
        request: dict[str, Any] = {"volume": name, "mode": "full" if extents is None else "incremental"}
        if extents is not None:
            request["parent"] = self._last_backup
            request["changed_extents"] = [{"offset_bytes": o, "length_bytes": n} for o, n in extents]
        job = self._daemon.run("/v1/backups", request)
        self._last_backup = job["backup_id"]
        return job

    def _limit_full(self, directory: Path) -> Cost:
        return self._limit("full", directory, "--source", str(self._image))

    def _limit_incremental(self, directory: Path, extents: list[tuple[int, int]]) -> Cost:
        whole = [[o // volume.CHUNK * volume.CHUNK, volume.CHUNK] for o, _ in extents]
        listed = self._root / "extents.json"
        listed.write_text(json.dumps(whole))
        changed = directory / "incremental"
        changed.mkdir()
        return self._limit("full", changed, "--source", str(self._image), "--extents", str(listed))

    def _limit(self, job: str, directory: Path, *options: str) -> Cost:
        command = [sys.executable, "-m", "bench.limit", job, "--directory", str(directory)]
        command += ["--threads", str(self._threads), *options]
        ran = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        cost: Cost = json.loads(ran.stdout)
        return cost


def report(rounds: list[dict[str, tuple[Cost, Cost]]]) -> None:
    """Print medians over the rounds, and the ratio of service to limit in each round."""
    print(
        f"{'':12}{'wall s':>8}{'limit':>8}{'ratio':>7}{'spread':>14}{'CPU s':>8}{'limit':>8}{'ratio':>7}",
        end="",
    )
    print(f"{'peak MiB':>10}{'limit':>7}{'requests':>10}{'sent MiB':>10}{'got MiB':>9}")
    for job in rounds[0]:
        costs = [results[job] for results in rounds]
        wall, cpu, memory = (pairs_of(costs, cost) for cost in ("wall_s", "cpu_s", "memory_peak_bytes"))
        requests, sent, received = (
            statistics.median(service[cost] for service, _ in costs)
            for cost in ("requests", "sent_bytes", "received_bytes")
        )
        print(f"{job:12}{median(wall, 0):8.2f}{median(wall, 1):8.2f}", end="")
        print(f"{median_text(ratios(wall)):>7}{spread_text(ratios(wall)):>14}", end="")
        print(f"{median(cpu, 0):8.2f}{median(cpu, 1):8.2f}{median_text(ratios(cpu)):>7}", end="")
        print(f"{median(memory, 0) / _MIB:10.0f}{median(memory, 1) / _MIB:7.0f}", end="")
        print(f"{requests:10.0f}{sent / _MIB:10.1f}{received / _MIB:9.1f}")


def main() -> None:
    """Measure and print; the exit code says only whether it ran."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--size-mib", type=int, default=2048, help="size of the volume")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--directory", type=Path, help="where to work; default: a temporary directory")
    parser.add_argument("--port", type=int, default=18776)
    parser.add_argument("--json", type=Path, help="write every figure here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="backupd-bench-") as directory:
        root = Path(directory)
        print(
            f"volume of {options.size_mib} MiB, {options.threads} threads, {options.rounds} rounds",
            flush=True,
        )
        volume.make(root / "volume.img", options.size_mib * _MIB)
        with Daemon(root, threads=options.threads, port=options.port) as daemon:
            bench = Bench(root, daemon, threads=options.threads)
            rounds = [bench.round() for _ in range(options.rounds)]
            health = daemon.get("/healthz")
    report(rounds)
    lag_ms = {name: seconds * 1000 for name, seconds in health["loop_lag_s"].items()}
    print("event-loop lag: " + ", ".join(f"{name} {value:.1f} ms" for name, value in lag_ms.items()))
    if options.json:
        options.json.write_text(json.dumps(rounds))


if __name__ == "__main__":
    main()
