"""``make bench-curves``: how cost grows with chunks, volumes, jobs and time; the pictures of docs/performance.md.

Measured by the daemon's own clock, like everything else. ``bench.peers.plots`` draws what this writes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import volume
from bench.daemon import Daemon
from bench.peers import volumes
from bench.peers.commands import run
from bench.peers.floor import limit_command
from bench.peers.sparse import LARGE_BYTES, SparseVolume
from tests.support.servers.process import free_port

MIB, GIB = 1024**2, 1024**3
CHUNK_BYTES = [64 * 1024 << shift for shift in range(7)]
VOLUME_BYTES = [GIB, 16 * GIB, 256 * GIB, 4096 * GIB, LARGE_BYTES]
AT_ONCE = [1, 2, 4, 8, 16]
SAMPLE_S = 0.05


def of_chunk_size(root: Path, size_bytes: int, rounds: int) -> dict[str, Any]:
    """Return MB/s of full backups, and of the floor's, over the chunk size."""
    image = root / "volume.img"
    volume.make(image, size_bytes)
    rates: dict[str, list[float]] = {"backupd": [], "floor": []}
    with Daemon(root, threads=0, port=free_port()) as daemon:
        for chunk_bytes in CHUNK_BYTES:
            taken = [
                (_full_s(daemon, image, f"{chunk_bytes}-{number}", chunk_bytes), _floor_s(root, image, chunk_bytes))
                for number in range(rounds)
            ]
            for name, seconds in zip(rates, zip(*taken, strict=True), strict=True):
                rates[name].append(size_bytes / 1e6 / statistics.median(seconds))
    return {"chunk_bytes": CHUNK_BYTES, "size_bytes": size_bytes, "mb_per_s": rates}


def _full_s(daemon: Daemon, image: Path, name: str, chunk_bytes: int) -> float:
    kind = {"name": name, "target": "local", "is_deduplicated": False, "chunk_size_bytes": chunk_bytes}
    daemon.post("/v1/backup-types", kind)
    daemon.post("/v1/volumes", {"name": name, "path": str(image), "backup_type": name})
    os.sync()
    taken_s: float = daemon.run("/v1/backups", {"volume": name, "mode": "full"})["wall_s"]
    return taken_s


def _floor_s(root: Path, image: Path, chunk_bytes: int) -> float:
    directory = root / "floor"
    directory.mkdir()
    os.sync()
    options = ("--source", str(image), "--chunk-kib", str(chunk_bytes // 1024))
    taken_s = run(limit_command("full", directory, *options)).wall_s
    shutil.rmtree(directory)
    return taken_s


def of_volume_size(root: Path, _size_bytes: int, rounds: int) -> dict[str, Any]:
    """Return what an increment of 64 scattered chunks takes over the size of the volume."""
    costs: dict[str, list[float]] = {"wall_s": [], "cpu_s": [], "sent_bytes": []}
    with Daemon(root, threads=0, port=free_port()) as daemon:
        daemon.post("/v1/backup-types", {"name": "measured", "target": "local", "is_deduplicated": False})
        for size_bytes in VOLUME_BYTES:
            sparse = SparseVolume(daemon, root, size_bytes)
            jobs = [sparse.increment(number) for number in range(rounds)]
            for cost, medians in costs.items():
                medians.append(statistics.median(job[cost] for job in jobs))
    return {"volume_bytes": VOLUME_BYTES, **costs}


def of_volumes_at_once(root: Path, size_bytes: int, _rounds: int) -> dict[str, Any]:
    """Return MB/s over how many volumes are backed up at once, for each number of threads up to the cores."""
    rates: dict[str, list[float]] = {}
    for threads in sorted({1, os.cpu_count() or 1}):
        for count in AT_ONCE:
            place = root / f"{threads}-{count}"
            place.mkdir()
            each_bytes = size_bytes // AT_ONCE[-1]
            found = volumes.measure(place, count=count, size_bytes=each_bytes, at_once=count, threads=threads)
            rates.setdefault(str(threads), []).append(count * each_bytes / 1e6 / found["together_s"])
            shutil.rmtree(place)
    return {"at_once": AT_ONCE, "mb_per_s": rates}


def of_time(root: Path, size_bytes: int, _rounds: int) -> dict[str, Any]:
    """Return the daemon's memory during a full backup, a verification and a restore."""
    image = root / "volume.img"
    volume.make(image, size_bytes)
    with Daemon(root, threads=0, port=free_port()) as daemon, _sampled(daemon) as (samples, now):
        daemon.post("/v1/backup-types", {"name": "measured", "target": "local"})
        daemon.post("/v1/volumes", {"name": "disk", "path": str(image), "backup_type": "measured"})
        begins = {"full": now()}
        backup = daemon.run("/v1/backups", {"volume": "disk", "mode": "full"})["backup_id"]
        begins["verify"] = now()
        daemon.run("/v1/verifications", {"backup": backup})
        begins["restore"] = now()
        daemon.run("/v1/restores", {"backup": backup, "path": str(root / "restored.img")})
    return {"begins_s": begins, "samples": samples, "size_bytes": size_bytes}


@contextmanager
def _sampled(daemon: Daemon) -> Iterator[tuple[list[tuple[float, int]], Callable[[], float]]]:
    """Give a list that grows by (seconds, bytes) while the context lasts, and its clock."""
    started_s = time.perf_counter()
    samples: list[tuple[float, int]] = []
    ended = threading.Event()

    def now() -> float:
        return time.perf_counter() - started_s

    def sample() -> None:
        while not ended.wait(SAMPLE_S):
            samples.append((now(), daemon.memory_bytes()))

    with ThreadPoolExecutor(1) as thread:
        sampling = thread.submit(sample)
        try:
            yield samples, now
        finally:
            ended.set()
            sampling.result()


CURVES: dict[str, Callable[[Path, int, int], dict[str, Any]]] = {
    "chunk-size": of_chunk_size,
    "volume-size": of_volume_size,
    "volumes": of_volumes_at_once,
    "memory": of_time,
}


def main() -> None:
    """Measure; the exit code says only whether it ran."""
    parser = argparse.ArgumentParser(prog="bench.peers.curves", description=__doc__)
    parser.add_argument("--only", default=",".join(CURVES), help=f"of {','.join(CURVES)}; the others are kept")
    parser.add_argument("--size-mib", type=int, default=1024, help="how much is backed up at a time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--place", type=Path, default=Path(".peers"))
    options = parser.parse_args()
    path = options.place / "curves.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for name in options.only.split(","):
        root = (options.place / "work" / name).resolve()
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        found[name] = CURVES[name](root, options.size_mib * MIB, options.rounds)
        shutil.rmtree(root)
        path.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
