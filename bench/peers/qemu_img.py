"""qemu-img: a compressed image, and an overlay for what differs."""

from __future__ import annotations

from pathlib import Path

from bench.peers.commands import run
from bench.peers.images import Image
from bench.peers.tool import Cost, Tool


class QemuImg(Tool):
    name = "qemu-img"
    about = "qemu-img convert -c, zstd, clusters of 64 KiB; increments compare all and are not compressed; no checksum"

    def back_up(self, image: Image) -> Cost:
        stored = self._stored(image)
        if image.parent is None:
            compressed = ("-c", "-o", "compression_type=zstd")
            return run(["qemu-img", "convert", "-O", "qcow2", *compressed, "-m", "2", "-W", self.disk, stored])
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self.disk, stored])
        return run(["qemu-img", "rebase", "-F", "qcow2", "-b", self._stored(image.parent), stored])

    def restore(self, image: Image, to: Path) -> Cost:
        return run(["qemu-img", "convert", "-O", "raw", "-m", "2", "-W", self._stored(image), to])

    def _stored(self, image: Image) -> Path:
        return self.repository / f"{image.name}.qcow2"
