"""benji: fixed blocks of 4 MiB, told by hints what changed."""

from __future__ import annotations

import json
from pathlib import Path

from bench.peers.commands import run
from bench.peers.images import Image
from bench.peers.tool import Cost, Tool

_CONFIG = """
configurationVersion: '1'
databaseEngine: sqlite:///{repository}/benji.sqlite
defaultStorage: files
blockSize: 4194304
storages:
  - {{name: files, module: file, storageId: 1, configuration: {{path: {repository}/blocks, activeTransforms: [zstd]}}}}
transforms:
  - {{name: zstd, module: zstd, configuration: {{level: 3}}}}
ios:
  - {{name: file, module: file}}
"""


class Benji(Tool):
    name = "benji with hints"
    about = (
        "benji 0.17 from PyPI, blocks of 4 MiB (default), zstd 3, SQLite, no encryption; extents as rbd diff has them"
    )

    def open(self) -> None:
        (self.repository / "blocks").mkdir(parents=True)
        self._config = self.root / "benji.yaml"
        self._config.write_text(_CONFIG.format(repository=self.repository))
        self._benji("database-init")

    def back_up(self, image: Image) -> Cost:
        hints = self.root / "hints.json"
        extents = [{"offset": offset, "length": length, "exists": "true"} for offset, length in image.extents]
        hints.write_text(json.dumps(extents))
        parent = ("--base-version", image.parent.name) if image.parent else ()
        return self._benji("backup", "-u", image.name, "-r", str(hints), *parent, f"file:{self.disk}", "disk")

    def verify(self) -> Cost:
        return self._benji("batch-deep-scrub")

    def restore(self, image: Image, to: Path) -> Cost:
        return self._benji("restore", "--sparse", "--force", image.name, f"file:{to}")

    def _benji(self, *words: str) -> Cost:
        return run([self.installed / "benji/bin/benji", "-c", self._config, "--log-level", "WARNING", *words])
