"""Volumes that guests write to, each with a plain copy of what it must hold, at every point that was taken of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from chunker.sources.memory import MemoryPoint, MemoryVolume

BLOCK_BYTES = 64 * 1024
SMALL_BYTES_MAX = 2 * 1024 * 1024
# More than the 512 chunks of one leaf, so that the tree has two levels.
LARGE_BYTES_MAX = 36 * 1024 * 1024


@dataclass(slots=True)
class Copy:
    """A volume as an independent oracle has it: the size, and the blocks that are not zeros."""

    size_bytes: int
    blocks: dict[int, bytes] = field(default_factory=dict)

    def write(self, offset_bytes: int, content: bytes) -> None:
        """Put ``content`` where it belongs, byte by block; shares no code with the volume that is tested."""
        while content:
            number, start = divmod(offset_bytes, BLOCK_BYTES)
            part, content = content[: BLOCK_BYTES - start], content[BLOCK_BYTES - start :]
            block = bytearray(self.blocks.get(number, bytes(BLOCK_BYTES)))
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

    def content(self) -> bytes:
        """Return all bytes."""
        content = bytearray(-(-self.size_bytes // BLOCK_BYTES) * BLOCK_BYTES)
        for number, block in self.blocks.items():
            content[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES] = block
        return bytes(content[: self.size_bytes])


class Guest:
    """A volume and who writes to it. ``copies`` has what each point held, by the token in its manifest."""

    def __init__(self, random: Random, *, identity: str) -> None:
        self._random = random
        size_bytes = self._draw_size()
        self.volume = MemoryVolume(size_bytes, identity=identity)
        self.copies: dict[str | None, Copy] = {}
        self._now = Copy(size_bytes)

    def open(self) -> MemoryPoint:
        """Take a point in time, as a source does, and remember what is in it."""
        point = self.volume.open()
        self.copies[point.token] = self._now.frozen()
        return point

    def act(self) -> None:
        """Do one thing that guests do."""
        chance = self._random.random()
        if chance < 0.1:
            size_bytes = self._draw_size()
            self.volume.resize(size_bytes)
            self._now.resize(size_bytes)
            return
        offset = self._random.randrange(self._now.size_bytes)
        length = min(self._random.choice([1, 512, 4096, 70_000, 300_000]), self._now.size_bytes - offset)
        if chance < 0.3:
            self.volume.discard(offset, length)
            self._now.write(offset, bytes(length))
        else:
            content = self._draw_content(length)
            self.volume.write(offset, content)
            self._now.write(offset, content)

    def _draw_size(self) -> int:
        largest = LARGE_BYTES_MAX if self._random.random() < 0.2 else SMALL_BYTES_MAX
        return self._random.randrange(1, largest // 512) * 512

    def _draw_content(self, length: int) -> bytes:
        """Return bytes that are new, that were seen before, or that are easy to compress."""
        seed = self._random.choice([0, 1, self._random.getrandbits(64)])
        content = Random(seed).randbytes(min(length, 4096))
        return (content * (length // len(content) + 1))[:length]
