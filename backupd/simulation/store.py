"""The disks of a simulated target: what is stored, and what was done to it behind everybody's back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from random import Random

from targets.base import Body, ObjectInfo
from targets.errors import QuotaExceeded, Unavailable
from targets.memory import MemoryTarget


class Store(MemoryTarget):
    """A memory target that can be full, be down, lie and rot.

    ``damaged`` has every key whose object is not what was stored: the only excuse that a backup has. ``mended`` were
    damaged and stored again, maybe not all of it. Listings miss the keys with ``unlisted`` in them.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.damaged: set[str] = set()
        self.mended: set[str] = set()
        self.is_full = False
        self.is_down = False
        self.lies_left = 0
        self.unlisted: str | None = None

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        self._refuse_when_down(key)
        if self.is_full:
            raise QuotaExceeded(f"put {key}: no space left on the simulated target")
        if self.lies_left and key not in self._objects:
            self.lies_left -= 1
            self.damaged.add(key)
            return
        await super().put(key, body, if_absent=if_absent)
        if key in self.damaged:
            self.damaged.remove(key)
            self.mended.add(key)

    async def delete(self, key: str) -> None:
        self._refuse_when_down(key)
        await super().delete(key)

    async def delete_many(self, keys: Sequence[str]) -> None:
        self._refuse_when_down(keys[0] if keys else "")
        await super().delete_many(keys)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        self._refuse_when_down(prefix)
        async for info in super().list(prefix):
            if self.unlisted is None or self.unlisted not in info.key:
                yield info

    async def _object(self, key: str) -> bytes:
        self._refuse_when_down(key)
        return await super()._object(key)

    def peek(self, key: str) -> bytes | None:
        """Return an object past everything that can go wrong."""
        return self._objects.get(key)

    def keys(self, part: str) -> Sequence[str]:
        """Return the keys that have ``part`` in them, in order."""
        return sorted(key for key in self._objects if part in key)

    def rot(self, key: str, random: Random) -> None:
        """Flip a bit of an object where it lies."""
        stored = bytearray(self._objects[key])
        stored[random.randrange(len(stored))] ^= 1 << random.randrange(8)
        self._objects[key] = bytes(stored)
        self.damaged.add(key)

    def lose(self, key: str) -> None:
        """Let an object vanish."""
        del self._objects[key]
        self.damaged.add(key)

    def _refuse_when_down(self, key: str) -> None:
        if self.is_down:
            raise Unavailable(f"{key}: the simulated target answers 503")
