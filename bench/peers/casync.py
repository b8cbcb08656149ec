"""casync: content-defined chunks of 64 KiB, a file for each."""

from __future__ import annotations

from pathlib import Path

from bench.peers.commands import run
from bench.peers.images import Image
from bench.peers.tool import Cost, Tool


class Casync(Tool):
    name = "casync"
    about = "Debian's casync, chunks of some 64 KiB by content, zstd, SHA-512/256, no encryption; cannot verify"

    def back_up(self, image: Image) -> Cost:
        return self._casync("make", "--compression=zstd", self._index(image), self.disk)

    def restore(self, image: Image, to: Path) -> Cost:
        return self._casync("extract", self._index(image), to)

    def _casync(self, verb: str, *words: str | Path) -> Cost:
        return run(["casync", verb, f"--store={self.repository}/chunks.castr", *words])

    def _index(self, image: Image) -> Path:
        return self.repository / f"{image.name}.caibx"
