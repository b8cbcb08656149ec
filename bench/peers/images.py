"""The three images: a disk, the same after a database worked on it, and after a package was installed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench import volume

GRANULARITY = 64 * 1024
_READ = 4 * 1024 * 1024
_SMALL_BYTES = 256 * 1024 * 1024
_MAKER = Path(__file__).parents[2] / "scripts/make-disk-images"
Extents = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Image:
    """``extents``: (offset, length) of what differs from the parent; without a parent, of what holds data."""

    name: str
    path: Path
    parent: Image | None
    extents: Extents

    @property
    def changed_bytes(self) -> int:
        """The extents' length in sum."""
        return sum(length for _, length in self.extents)


def put(image: Image, disk: Path) -> None:
    """Make the disk hold the image: in place, when it held the parent. What is read next is in the page cache then."""
    if image.parent is None:
        subprocess.run(["cp", "--sparse=always", image.path, disk], check=True)
    else:
        with image.path.open("rb") as source, disk.open("r+b") as changed_disk:
            for offset, length in image.extents:
                source.seek(offset)
                changed_disk.seek(offset)
                changed_disk.write(source.read(length))
    subprocess.run(["cat", disk], check=True, stdout=subprocess.DEVNULL)


def ready(directory: Path, size: str) -> list[Image]:
    """Return base, inc1 and inc2, made in ``directory`` unless they are there: ``full`` takes minutes and root."""
    if not (directory / "inc2.img").exists():
        directory.mkdir(parents=True, exist_ok=True)
        _make_small(directory) if size == "small" else subprocess.run([_MAKER, directory], check=True)
    images: list[Image] = []
    for name in ("base", "inc1", "inc2"):
        parent = images[-1] if images else None
        path = directory / f"{name}.img"
        images.append(Image(name, path, parent, _remembered(path, parent.path if parent else None)))
    return images


def _make_small(directory: Path) -> None:
    """Files of this machine, blocks changed here and there, then one stretch anew: for a trial."""
    base, inc1, part = directory / "base.img", directory / "inc1.img", directory / "inc2.part"
    for path in directory.iterdir():
        path.unlink()
    volume.make(base, _SMALL_BYTES)
    subprocess.run(["cp", "--sparse=always", base, inc1], check=True)
    volume.change(inc1, chunks=64, seed=1)
    subprocess.run(["cp", "--sparse=always", inc1, part], check=True)
    with part.open("r+b") as image, Path("/proc/self/exe").open("rb") as program:
        image.seek(_SMALL_BYTES // 2)
        image.write(program.read(8 * 1024 * 1024))
    part.rename(directory / "inc2.img")


def _remembered(path: Path, parent: Path | None) -> Extents:
    """Comparing takes a while, so what was found stands beside the image."""
    beside = path.with_suffix(".extents.json")
    if not beside.exists():
        beside.write_text(json.dumps(changed(path, parent)))
    return [(offset, length) for offset, length in json.loads(beside.read_text())]


def changed(path: Path, parent: Path | None) -> Extents:
    """Return where ``path`` differs from ``parent`` or, without one, from zeros."""
    flags: list[bool] = []
    zeros = bytes(_READ)
    with path.open("rb") as image, (parent or Path(os.devnull)).open("rb") as older:
        while block := image.read(_READ):
            other = older.read(_READ) if parent else zeros[: len(block)]
            if block == other:
                flags += [False] * -(-len(block) // GRANULARITY)
                continue
            for start in range(0, len(block), GRANULARITY):
                flags.append(block[start : start + GRANULARITY] != other[start : start + GRANULARITY])
    return joined(flags, GRANULARITY, path.stat().st_size)


def joined(flags: Iterable[bool], step: int, size: int) -> Extents:
    """Return the extents of the units that are flagged, neighbours in one, none beyond ``size``."""
    extents: Extents = []
    for number, flag in enumerate(flags):
        start = number * step
        if not flag:
            continue
        if extents and sum(extents[-1]) == start:
            start = extents.pop()[0]
        extents.append((start, min((number + 1) * step, size) - start))
    return extents
