"""What the index costs: 64 chunks here and there in a volume of 16 TiB, and the same side by side in a small one."""

from __future__ import annotations

import os
import random
import statistics
from pathlib import Path
from typing import Any

from bench.daemon import Daemon
from tests.support.servers.process import free_port

CHUNK = 256 * 1024
CHUNKS, FEW = 64, 8
LARGE_BYTES = 16 * 1024**4 - CHUNK  # As long as a file of ext4 can be.
_BLOCK = 4096


def measure(root: Path, *, rounds: int) -> dict[str, float]:
    """Return what the increment in the large volume takes beyond the one in the small volume, as medians."""
    with Daemon(root, threads=0, port=free_port()) as daemon:
        # Without de-duplication: the rounds have nothing in common, and neither have the volumes.
        daemon.post("/v1/backup-types", {"name": "measured", "target": "local", "is_deduplicated": False})
        small, large = (SparseVolume(daemon, root, size) for size in (CHUNKS * CHUNK, LARGE_BYTES))
        taken = [(small.increment(seed), large.increment(seed)) for seed in range(rounds)]
        few = large.increment(rounds, chunks=FEW)
    beyond = [
        {cost: of_large[cost] - of_small[cost] for cost in ("wall_s", "sent_bytes")} for of_small, of_large in taken
    ]
    return {
        "beyond_data_s": statistics.median(one["wall_s"] for one in beyond),
        "beyond_data_bytes": statistics.median(one["sent_bytes"] for one in beyond),
        "wall_s": statistics.median(of_large["wall_s"] for _, of_large in taken),
        "objects_of_few": few["objects"],
    }


class SparseVolume:
    """A sparse file with as many chunks of data as go into an increment, evenly apart."""

    def __init__(self, daemon: Daemon, root: Path, size_bytes: int) -> None:
        self._daemon = daemon
        self._target = root / "target"
        self._name = f"of-{size_bytes}"
        self._path = root / self._name
        self._places = [number * (size_bytes // CHUNKS) // CHUNK * CHUNK for number in range(CHUNKS)]
        with self._path.open("wb") as file:
            file.truncate(size_bytes)
        self._write(b"\1" * CHUNK, seed=-1)
        daemon.post("/v1/volumes", {"name": self._name, "path": str(self._path), "backup_type": "measured"})
        self._parent = daemon.run("/v1/backups", {"volume": self._name, "mode": "full"})["backup_id"]

    def increment(self, seed: int, *, chunks: int = CHUNKS) -> dict[str, Any]:
        """Change so many chunks, and return what backing them up took."""
        self._write(random.Random(seed).randbytes(CHUNK - _BLOCK), seed=seed)
        changed = [{"offset_bytes": place, "length_bytes": CHUNK} for place in self._places[:chunks]]
        request = {"volume": self._name, "mode": "incremental", "parent": self._parent, "changed_extents": changed}
        before = self._objects()
        job = self._daemon.run("/v1/backups", request)
        self._parent = job["backup_id"]
        return job | {"objects": self._objects() - before}

    def _write(self, content: bytes, *, seed: int) -> None:
        with self._path.open("r+b") as file:
            for place in self._places:
                file.seek(place)
                file.write(content + random.Random(place + seed).randbytes(_BLOCK))
            os.fsync(file.fileno())

    def _objects(self) -> int:
        return sum(path.is_file() for path in self._target.rglob("*"))
