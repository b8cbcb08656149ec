"""borg: one thread, large segments, encryption or none."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from bench.peers.commands import run
from bench.peers.images import Image
from bench.peers.tool import Cost, Tool


class Borg(Tool):
    """Chunks of a fixed size, as its documentation advises for disk images."""

    name = "borg, 4 MiB, plain"
    about = "borgbackup from PyPI, chunks of 4 MiB with --sparse, zstd 3, no encryption (SHA-256)"
    encryption: ClassVar[str] = "none"

    def open(self) -> None:
        self._borg("init", "--encryption", self.encryption)

    def back_up(self, image: Image) -> Cost:
        chunks = ("--sparse", "--chunker-params", "fixed,4194304")
        return self._borg("create", *chunks, "--compression", "zstd,3", f"::{image.name}", self.disk.name)

    def verify(self) -> Cost:
        return self._borg("check", "--verify-data")

    def restore(self, image: Image, to: Path) -> Cost:
        folder = self.root / "restored"
        folder.mkdir()
        cost = self._borg("extract", "--sparse", f"::{image.name}", cwd=folder)
        (folder / "disk.img").rename(to)
        return cost

    def _borg(self, *words: str, cwd: Path | None = None) -> Cost:
        env = {
            "BORG_REPO": str(self.repository),
            "BORG_PASSPHRASE": "not a secret",
            "BORG_BASE_DIR": str(self.root / "base"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }
        return run([self.installed / "borg/bin/borg", *words], cwd=cwd or self.root, env=env)


class EncryptedBorg(Borg):
    name = "borg, 4 MiB"
    about = "as without encryption, but repokey-blake2 (AES-256-CTR, BLAKE2b)"
    is_encrypted = True
    encryption = "repokey-blake2"
