"""The floor: what Python can do at best with the same bytes and nothing around it (bench/limit.py)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import ClassVar

from bench.peers.commands import run
from bench.peers.images import Image
from bench.peers.tool import Cost, Tool


def limit_command(job: str, directory: Path, *words: str) -> list[str]:
    """Return what runs the limit, with a thread for each core."""
    threads = str(os.cpu_count() or 1)
    return [sys.executable, "-m", "bench.limit", job, "--directory", str(directory), "--threads", threads, *words]


class Floor(Tool):
    name = "floor"
    about = "bench/limit.py, no product but a bound: chunks of 256 KiB, zstd 3, BLAKE3, AES-256-GCM, a thread per core"
    is_encrypted = True
    options: ClassVar[tuple[str, ...]] = ()

    def back_up(self, image: Image) -> Cost:
        extents = self.root / "extents.json"
        extents.write_text(json.dumps(image.extents))
        parent = ("--onto-parent",) if image.parent else ()
        return self._limit("full", "--source", str(self.disk), "--extents", str(extents), *parent)

    def verify(self) -> Cost:
        return self._limit("verify")

    def restore(self, image: Image, to: Path) -> Cost:
        return self._limit("restore", "--destination", str(to))

    def _limit(self, job: str, *words: str) -> Cost:
        return run(limit_command(job, self.repository, "--deduplicate", *self.options, *words))


class PlainFloor(Floor):
    name = "floor, plain"
    about = "the same without encryption"
    is_encrypted = False
    options = ("--plain",)


class SmallFloor(Floor):
    name = "floor, 64 KiB, plain"
    about = "the same without encryption, chunks of 64 KiB"
    is_encrypted = False
    options = ("--plain", "--chunk-kib", "64")
