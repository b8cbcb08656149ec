"""XAES-256-GCM: AES-256-GCM with a 192-bit nonce, safe to draw at random for 2^80 messages.

Source: the C2SP specification, https://c2sp.org/XAES-256-GCM. Sixteen bytes of work with AES turn the key and
the first half of the nonce into a key of its own for each message; the second half is the nonce of GCM.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_SIZE_BYTES = 24
TAG_SIZE_BYTES = 16
_BLOCK_SIZE_BYTES = 16
_HALF_NONCE = NONCE_SIZE_BYTES // 2


class Xaes256Gcm:
    """The cipher under one 32-byte key. Not safe to share between threads."""

    def __init__(self, key: bytes) -> None:
        # ECB over single blocks is plain AES, which is what the specification's CMAC step is made of.
        self._aes = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()  # noqa: S305 - see above
        k1 = _double(self._aes.update(bytes(_BLOCK_SIZE_BYTES)))
        # M1 || M2 with K1 mixed into the constant part; each nonce only changes the last twelve bytes of both.
        self._mask = int.from_bytes(k1 + k1, "big") ^ int.from_bytes(
            b"\0\1X\0" + bytes(_HALF_NONCE) + b"\0\2X\0" + bytes(_HALF_NONCE), "big"
        )

    def encrypt_into(self, nonce: bytes, plain: memoryview, aad: bytes, out: memoryview) -> None:
        """Write ciphertext and tag of ``plain`` to ``out``, which is 16 bytes longer."""
        self._message_cipher(nonce).encrypt_into(nonce[_HALF_NONCE:], plain, aad, out)

    def decrypt_into(self, nonce: bytes, sealed: memoryview, aad: bytes, out: memoryview) -> None:
        """Write the plaintext of ``sealed`` to ``out``; InvalidTag when it is not what was encrypted."""
        self._message_cipher(nonce).decrypt_into(nonce[_HALF_NONCE:], sealed, aad, out)

    def _message_cipher(self, nonce: bytes) -> AESGCM:
        half = int.from_bytes(nonce[:_HALF_NONCE], "big")
        blocks = (self._mask ^ (half << (8 * _BLOCK_SIZE_BYTES)) ^ half).to_bytes(2 * _BLOCK_SIZE_BYTES, "big")
        return AESGCM(self._aes.update(blocks))


def _double(block: bytes) -> bytes:
    """Multiply by x in GF(2^128), as CMAC makes its subkey (NIST SP 800-38B, 6.1)."""
    value = int.from_bytes(block, "big") << 1
    if value >> 128:
        value ^= (1 << 128) | 0x87
    return value.to_bytes(_BLOCK_SIZE_BYTES, "big")
