"""restic: content-defined chunks of 1 MiB, always encrypted."""

from __future__ import annotations

from pathlib import Path

from bench.peers.commands import run
from bench.peers.images import Image
from bench.peers.tool import Cost, Tool


class Restic(Tool):
    name = "restic"
    about = "Debian's restic, repository of version 2, compression auto (zstd), chunks of some 1 MiB by content"
    is_encrypted = True

    def open(self) -> None:
        self._restic("init", "--repository-version", "2")

    def back_up(self, image: Image) -> Cost:
        return self._restic("backup", "--tag", image.name, self.disk.name)

    def verify(self) -> Cost:
        return self._restic("check", "--read-data")

    def restore(self, image: Image, to: Path) -> Cost:
        folder = self.root / "restored"
        cost = self._restic("restore", "latest", "--tag", image.name, "--target", str(folder))
        (found,) = folder.rglob("disk.img")
        found.rename(to)
        return cost

    def _restic(self, *words: str) -> Cost:
        env = {
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_PASSWORD": "not a secret",
            "RESTIC_CACHE_DIR": str(self.root / "cache"),
        }
        return run(["restic", "--quiet", *words], cwd=self.root, env=env)
