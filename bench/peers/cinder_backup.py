"""Cinder's backup driver for a directory, run by itself (cinder_posix.py)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from bench.peers.commands import run
from bench.peers.images import Image
from bench.peers.tool import Cost, Tool

_DRIVER = Path(__file__).with_name("cinder_posix.py")


class Cinder(Tool):
    name = "cinder-backup"
    about = "cinder 29 from PyPI, PosixBackupDriver, defaults: zlib, objects of 1.86 GiB, no encryption; cannot verify"
    options: ClassVar[tuple[str, ...]] = ()

    def back_up(self, image: Image) -> Cost:
        parent = ("--parent", image.parent.name) if image.parent else ()
        return self._cinder("backup", image.name, self.disk, *parent)

    def restore(self, image: Image, to: Path) -> Cost:
        return self._cinder("restore", image.name, to)

    def _cinder(self, *words: str | Path) -> Cost:
        python = self.installed / "cinder/bin/python"
        return run([python, _DRIVER, "--repository", self.repository, *self.options, *words])


class CinderZstd(Cinder):
    name = "cinder-backup, 50 MiB, zstd"
    about = "as with its defaults, but objects of 50 MiB, as its drivers for stores have, and zstd"
    options = ("--compression", "zstd", "--object-bytes", str(50 * 1024 * 1024))
