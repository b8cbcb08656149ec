"""Many volumes through one daemon: one at a time, and all at once."""

from __future__ import annotations

import os
import random
import statistics
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from bench import volume
from bench.daemon import Daemon, seconds_between
from tests.support.servers.process import free_port

_MIB = 1024 * 1024
_JOB_BYTES = 32 * _MIB  # The least that the daemon wants for each job that runs.
_LIMIT_BYTES = 80 * _MIB  # What it has by default.


def measure(root: Path, *, count: int, size_bytes: int, at_once: int, threads: int = 0) -> dict[str, float]:
    """Back up ``count`` volumes one by one, then all of them, of which ``at_once`` run at a time."""
    images = _images(root, count, size_bytes)
    settings = f"running_jobs_max = {at_once}\nmemory_limit_bytes = {max(_LIMIT_BYTES, at_once * _JOB_BYTES)}"
    with Daemon(root, threads=threads, port=free_port(), settings=settings) as daemon:
        # Without de-duplication, the second time is the same work.
        daemon.post("/v1/backup-types", {"name": "measured", "target": "local", "is_deduplicated": False})
        for image in images:
            daemon.post("/v1/volumes", {"name": image.stem, "path": str(image), "backup_type": "measured"})
        os.sync()
        alone = [daemon.ended(_asked(daemon, image)) for image in images]
        os.sync()
        daemon.forget_peak_memory()
        with ThreadPoolExecutor(at_once) as clients:  # One after the other, the first would be done before the last.
            jobs = list(clients.map(partial(_asked, daemon), images))
        together = [daemon.ended(job) for job in jobs]
        peak_bytes = daemon.peak_memory_bytes()
    times_s = [seconds_between(job["started_at"], job["finished_at"]) for job in together]
    middle_s = statistics.median(times_s)
    return {
        "count": count,
        "size_bytes": size_bytes,
        "one_by_one_s": sum(seconds_between(job["created_at"], job["finished_at"]) for job in alone),
        "together_s": seconds_between(
            min(job["created_at"] for job in together), max(job["finished_at"] for job in together)
        ),
        "unfairness": max(abs(taken_s - middle_s) for taken_s in times_s) / middle_s,
        "slowest": max(times_s) / middle_s,
        "memory_peak_bytes": peak_bytes,
    }


def _asked(daemon: Daemon, image: Path) -> dict[str, Any]:
    job: dict[str, Any] = daemon.post("/v1/backups", {"volume": image.stem, "mode": "full"})["job"]
    return job


def _images(root: Path, count: int, size_bytes: int) -> list[Path]:
    """Make volumes of the same content, each with its blocks in another order: as much work, nothing in common."""
    first = root / "volume.img"
    volume.make(first, size_bytes)
    content = first.read_bytes()
    first.unlink()
    images = []
    for number in range(count):
        path = root / f"volume-{number}.img"
        starts = list(range(0, len(content), _MIB))
        random.Random(number).shuffle(starts)
        with path.open("wb") as image:
            for start in starts:
                image.write(content[start : start + _MIB])
        images.append(path)
    return images
