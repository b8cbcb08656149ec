"""Seeded contents of volumes: the same seed gives the same bytes on every machine."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterable
from pathlib import Path

from chunker.extents import Extent

_BLOCK_BYTES = 4096


def random_bytes(size_bytes: int, *, seed: int = 0) -> bytes:
    """Return bytes that nothing can compress or de-duplicate."""
    return random.Random(seed).randbytes(size_bytes)


def zero_bytes(size_bytes: int) -> bytes:
    """Return zeros."""
    return bytes(size_bytes)


def half_zero_bytes(size_bytes: int, *, seed: int = 0, run_bytes: int = 1024 * 1024) -> bytes:
    """Return runs of random bytes and of zeros, taking turns."""
    content = bytearray(random_bytes(size_bytes, seed=seed))
    for start in range(run_bytes, size_bytes, 2 * run_bytes):
        end = min(start + run_bytes, size_bytes)
        content[start:end] = bytes(end - start)
    return bytes(content)


def guest_like_bytes(size_bytes: int, *, seed: int = 0) -> bytes:
    """Return blocks as a guest's disk has them: half text, a quarter zeros, a quarter random."""
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randint(2, 9)).hex().encode() for _ in range(512)]
    blocks = (_guest_block(chance, words) for _ in range(-(-size_bytes // _BLOCK_BYTES)))
    return b"".join(blocks)[:size_bytes]


def _guest_block(chance: random.Random, words: list[bytes]) -> bytes:
    kind = chance.random()
    if kind < 0.25:
        return bytes(_BLOCK_BYTES)
    if kind < 0.5:
        return chance.randbytes(_BLOCK_BYTES)
    return b" ".join(chance.choices(words, k=_BLOCK_BYTES // 5))[:_BLOCK_BYTES]


def write_sparse_file(path: Path, size_bytes: int, extents: Iterable[Extent], *, seed: int = 0) -> bytes:
    """Write a file that has random bytes in ``extents`` and holes elsewhere; return its content."""
    content = bytearray(size_bytes)
    chance = random.Random(seed)
    with path.open("wb") as file:
        os.truncate(file.fileno(), size_bytes)
        for extent in extents:
            part = chance.randbytes(extent.length_bytes)
            content[extent.offset_bytes : extent.end_bytes] = part
            file.seek(extent.offset_bytes)
            file.write(part)
    return bytes(content)


def punch_hole(path: Path, extent: Extent) -> None:
    """Give a range of a file back to its file system, as a guest's discard does."""
    if extent.length_bytes:
        place = [f"--offset={extent.offset_bytes}", f"--length={extent.length_bytes}"]
        subprocess.run(["fallocate", "--punch-hole", *place, str(path)], check=True)
