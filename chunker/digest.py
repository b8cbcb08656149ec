"""Ids: keyed BLAKE3-256, with one key for each kind of frame, so that a chunk cannot pass for a node."""

from __future__ import annotations

from enum import IntEnum

from blake3 import blake3

from chunker.keys import derive


class Kind(IntEnum):
    """What a frame holds."""

    CHUNK = 1
    NODE = 2
    MANIFEST = 3


class Ids:
    """Gives bytes their id in one repository. The same bytes have other ids elsewhere."""

    def __init__(self, id_key: bytes) -> None:
        self._keys = {kind: derive(id_key, f"backupd v1 {kind.name.lower()} id") for kind in Kind}

    def of(self, kind: Kind, plain: bytes | memoryview) -> bytes:
        """Return the 32-byte id of ``plain``; releases the interpreter lock on large buffers."""
        return blake3(plain, key=self._keys[kind]).digest()


_PROBE_SIZE_BYTES = 64
_PROBE = bytes(_PROBE_SIZE_BYTES)
_ZEROS = bytes(4 * 1024 * 1024)


def is_zero(plain: memoryview) -> bool:
    """Tell whether every byte of ``plain`` (at most 4 MiB) is zero."""
    # Data nearly always shows itself in the first bytes, and then the whole comparison costs nothing.
    return plain[:_PROBE_SIZE_BYTES] == _PROBE[: len(plain)] and bytes(plain) == _ZEROS[: len(plain)]
