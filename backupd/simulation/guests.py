"""Volumes that guests write to, each with a plain copy of what it must hold, at every point that was taken of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from random import Random

from chunker.extents import Extent
from chunker.sources.memory import MemoryPoint, MemoryVolume

BLOCK_BYTES = 64 * 1024
_SMALL_BYTES_MAX = 10 * BLOCK_BYTES
# More than the 512 chunks of one leaf, so that the tree has two levels.
_LARGE_BYTES_MAX = 36 * 1024 * 1024
_WRITES = (1, 512, 4096, 70_000, 150_000)
_KNOWN_BLOCKS = 6
_ZERO_BLOCK = bytes(BLOCK_BYTES)


@dataclass(slots=True)
class Copy:
    """A volume as an independent oracle has it: the size, and the blocks that are not zeros."""

    size_bytes: int
    blocks: dict[int, bytes] = field(default_factory=dict)

    def write(self, offset_bytes: int, content: bytes) -> None:
        """Put ``content`` where it belongs, block by block; shares no code with the volume that is tested."""
        while content:
            number, start = divmod(offset_bytes, BLOCK_BYTES)
            part, content = content[: BLOCK_BYTES - start], content[BLOCK_BYTES - start :]
            block = bytearray(self.blocks.get(number, _ZERO_BLOCK))
            block[start : start + len(part)] = part
            self.blocks[number] = bytes(block)
            offset_bytes += len(part)

    def resize(self, size_bytes: int) -> None:
        """Cut or grow with zeros."""
        if size_bytes < self.size_bytes:
            self.write(size_bytes, bytes(min(self.size_bytes, size_bytes + BLOCK_BYTES) - size_bytes))
            end = -(-size_bytes // BLOCK_BYTES)
            self.blocks = {number: block for number, block in self.blocks.items() if number < end}
        self.size_bytes = size_bytes

    def frozen(self) -> Copy:
        """Return the copy of this instant."""
        return Copy(self.size_bytes, dict(self.blocks))

    def chunk(self, index: int, chunk_size_bytes: int) -> bytes:
        """Return the bytes of one chunk; a chunk is a whole number of blocks, but the last may be short."""
        count = chunk_size_bytes // BLOCK_BYTES
        blocks = (self.blocks.get(index * count + number, _ZERO_BLOCK) for number in range(count))
        return b"".join(blocks)[: self.size_bytes - index * chunk_size_bytes]

    def digest(self) -> bytes:
        """Return what tells this content from any other."""
        return digest(self.content())

    def content(self) -> bytes:
        """Return all bytes."""
        content = bytearray(-(-self.size_bytes // BLOCK_BYTES) * BLOCK_BYTES)
        for number, block in self.blocks.items():
            content[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES] = block
        return bytes(content[: self.size_bytes])


def digest(content: bytes | memoryview) -> bytes:
    """Return the digest that contents are compared by."""
    return hashlib.blake2b(content, digest_size=16).digest()


class Guest:
    """A volume and who writes to it. ``copies`` has what each point held, by the token in its manifest.

    ``lied`` are the blocks that some bitmap has kept silent about: an incremental may have missed them.
    """

    def __init__(self, random: Random, *, identity: str) -> None:
        self._random = random
        size_bytes = self._draw_size()
        self.volume = MemoryVolume(size_bytes, identity=identity)
        self.copies: dict[str | None, Copy] = {}
        self.lied: set[int] = set()
        self._now = Copy(size_bytes)

    def open(self) -> MemoryPoint:
        """Take a point in time, as a source does, and remember what is in it."""
        point = self.volume.open()
        self.copies[point.token] = self._now.frozen()
        return point

    def act(self) -> str:
        """Do one thing that guests do, and say what."""
        chance = self._random.random()
        if chance < 0.1:
            size_bytes = self._draw_size()
            self.volume.resize(size_bytes)
            self._now.resize(size_bytes)
            return f"resizes to {size_bytes}"
        if chance < 0.5:
            return self._write_known_block()
        offset = self._random.randrange(self._now.size_bytes)
        length = min(self._random.choice(_WRITES), self._now.size_bytes - offset)
        if chance < 0.3:
            self.volume.discard(offset, length)
            self._now.write(offset, bytes(length))
            return f"discards {length} at {offset}"
        content = self._draw_content(length)
        self.volume.write(offset, content)
        self._now.write(offset, content)
        return f"writes {length} at {offset}"

    def _write_known_block(self) -> str:
        """Write a block that other volumes, and this one at other times, may have, too."""
        number = self._random.randrange(-(-self._now.size_bytes // BLOCK_BYTES))
        known = self._random.randrange(_KNOWN_BLOCKS)
        offset = number * BLOCK_BYTES
        content = Random(known).randbytes(BLOCK_BYTES)[: self._now.size_bytes - offset]
        self.volume.write(offset, content)
        self._now.write(offset, content)
        return f"writes known block {known} to block {number}"

    def lie(self) -> str:
        """Let the bitmap forget some of what it knows."""
        first = self._random.randrange(-(-self._now.size_bytes // BLOCK_BYTES))
        self.volume.forget(Extent(first * BLOCK_BYTES, BLOCK_BYTES))
        self.lied.add(first)
        return f"forgets that block {first} was written"

    def _draw_size(self) -> int:
        largest = _LARGE_BYTES_MAX if self._random.random() < 0.02 else _SMALL_BYTES_MAX
        return self._random.randrange(1, largest // 512) * 512

    def _draw_content(self, length: int) -> bytes:
        """Return bytes that are new, that were seen before, or that are easy to compress."""
        seed = self._random.choice([0, 1, self._random.getrandbits(64)])
        content = Random(seed).randbytes(min(length, 4096))
        return (content * (length // len(content) + 1))[:length]
