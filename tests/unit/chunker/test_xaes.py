"""The test vectors of https://c2sp.org/XAES-256-GCM."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag

from chunker.xaes import Xaes256Gcm

NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"
PLAIN = b"XAES-256-GCM"


def sealed(key: bytes, aad: bytes) -> bytes:
    out = bytearray(len(PLAIN) + 16)
    Xaes256Gcm(key).encrypt_into(NONCE, memoryview(PLAIN), aad, memoryview(out))
    return bytes(out)


@pytest.mark.parametrize(
    ("key", "aad", "expected"),
    [
        (b"\1" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (b"\3" * 32, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
)
def test_the_published_vectors_come_out(key: bytes, aad: bytes, expected: str) -> None:
    assert sealed(key, aad).hex() == expected


@pytest.mark.parametrize("flipped", [0, 11, 12, 27])
def test_a_changed_byte_is_refused(flipped: int) -> None:
    body = bytearray(sealed(b"\1" * 32, b""))
    body[flipped] ^= 1
    with pytest.raises(InvalidTag):
        Xaes256Gcm(b"\1" * 32).decrypt_into(NONCE, memoryview(body), b"", memoryview(bytearray(12)))
