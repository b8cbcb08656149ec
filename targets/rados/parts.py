"""How an object that is too large for one RADOS object is stored. Pure.

The *head* has the object's key for its name and no content; its attribute ``backupd.parts`` says where the
content is: ``1 ID PART_BYTES SIZE_BYTES``. The *parts* are named ``.parts/ID/NUMBER/KEY``. No key starts with a
dot, so no listing shows them; a part whose head does not name its ID is an orphan of a write that broke off.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from targets.errors import Unsupported

ATTRIBUTE = "backupd.parts"
_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Piece:
    """``length`` bytes from ``start`` on of one part."""

    number: int
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of one object. No two writes have the same ``id``, so none touches the parts of another."""

    id: str
    part_bytes: int
    size_bytes: int

    @classmethod
    def new(cls, size_bytes: int, part_bytes: int) -> Split:
        """Return the parts of an object that is about to be written."""
        return cls(secrets.token_hex(16), part_bytes, size_bytes)

    @classmethod
    def read(cls, key: str, attribute: bytes) -> Split:
        """Return what the attribute of the head of ``key`` says. Unsupported if it is not of our version."""
        try:
            version, split_id, part_bytes, size_bytes = attribute.decode("ascii").split(" ")
            found = cls(split_id, int(part_bytes), int(size_bytes))
        except ValueError:
            version = ""
        if version != _VERSION or found.part_bytes <= 0 or found.size_bytes < 0:
            raise Unsupported(f"{key}: its attribute {ATTRIBUTE} is {attribute[:80]!r}, expected version 1")
        return found

    def attribute(self) -> bytes:
        """Return the attribute of the head."""
        return f"{_VERSION} {self.id} {self.part_bytes} {self.size_bytes}".encode("ascii")

    def name(self, key: str, number: int) -> str:
        """Return the name of a part of the object ``key``."""
        return f".parts/{self.id}/{number}/{key}"

    def names(self, key: str) -> list[str]:
        """Return the names of all parts."""
        return [self.name(key, piece.number) for piece in self.pieces(0, self.size_bytes)]

    def pieces(self, offset: int, length: int) -> Iterator[Piece]:
        """Yield, in order, the pieces that a range of the object consists of."""
        while length > 0:
            number, start = divmod(offset, self.part_bytes)
            piece = Piece(number, start, min(self.part_bytes - start, length))
            yield piece
            offset += piece.length
            length -= piece.length
