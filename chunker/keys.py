"""The keys of one repository, and what is derived from them (docs/formats/keys.md)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from blake3 import blake3

KEY_SIZE_BYTES = 32
REPOSITORY_ID_SIZE_BYTES = 16


@dataclass(frozen=True, slots=True)
class RepositoryKeys:
    """What reads and writes one repository; the keys never show in ``repr``."""

    repository_id: bytes
    id_key: bytes = field(repr=False)
    data_key: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> RepositoryKeys:
        """Return keys that nobody has seen before."""
        return cls(
            repository_id=secrets.token_bytes(REPOSITORY_ID_SIZE_BYTES),
            id_key=secrets.token_bytes(KEY_SIZE_BYTES),
            data_key=secrets.token_bytes(KEY_SIZE_BYTES),
        )


def derive(key: bytes, context: str) -> bytes:
    """Return the 32-byte subkey of ``key`` for ``context`` (BLAKE3 ``derive_key`` mode)."""
    return blake3(key, derive_key_context=context).digest()
