"""The volume that is measured: real files of this machine, as a file system would lay them out."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

BLOCK = 4096
CHUNK = 256 * 1024
_ROOTS = (Path("/usr/lib"), Path("/usr/share"), Path("/usr/bin"))


def make(path: Path, size_bytes: int) -> None:
    """Fill a new file: 80 % files, 10 % written zeros, 10 % hole. Warms the page cache."""
    written = 0
    with path.open("xb") as volume:
        for content in _contents():
            if written + len(content) > size_bytes * 8 // 10:
                continue
            volume.write(content)
            padding = -len(content) % BLOCK
            volume.write(bytes(padding))
            written += len(content) + padding
            if written > size_bytes * 79 // 100:
                break
        for _ in range(size_bytes // 10 // CHUNK):
            volume.write(bytes(CHUNK))
        volume.truncate(size_bytes)
        os.fsync(volume.fileno())


def change(path: Path, *, chunks: int, seed: int) -> list[tuple[int, int]]:
    """Overwrite blocks in ``chunks`` different chunks and return the changed extents."""
    generator = random.Random(seed)
    extents = []
    with path.open("r+b") as volume:
        numbers = generator.sample(range(path.stat().st_size * 7 // 10 // CHUNK), chunks)
        for number in sorted(numbers):
            offset = number * CHUNK + generator.randrange(CHUNK // BLOCK) * BLOCK
            volume.seek(offset)
            volume.write(generator.randbytes(BLOCK))
            extents.append((offset, BLOCK))
        os.fsync(volume.fileno())
    return extents


def _contents() -> Iterator[bytes]:
    for root in _ROOTS:
        for directory, names, files in os.walk(root):
            names.sort()
            for name in sorted(files):
                path = Path(directory, name)
                if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
                    yield path.read_bytes()
