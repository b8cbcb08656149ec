"""The master keys of this machine: a 0600 file with one key a line (docs/formats/keys.md).

The first line wraps the keys of new repositories; the others still open what they once wrapped.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from backupd.errors import KeyMismatch, KeyMissing
from chunker.keys import KEY_SIZE_BYTES, derive

_FILE_BYTES_MAX = 1024**2
_LINE = re.compile(r"backupd-master-key-1:([0-9a-f]{64}):([0-9a-f]{8})")


class Keyring:
    """Master keys by fingerprint."""

    def __init__(self, keys: list[bytes], *, origin: str) -> None:
        self._keys = {fingerprint(key): key for key in keys}
        self._origin = origin
        self.fingerprints = tuple(self._keys)
        self.current_fingerprint = fingerprint(keys[0])

    def key(self, wanted: str) -> bytes:
        """Return the key with this fingerprint; KeyMissing names it and what is here instead."""
        if wanted not in self._keys:
            raise KeyMissing(
                f"master key {wanted} is missing: {self._origin} holds {', '.join(self._keys)}\n"
                "HINT: bring that key here from your copy: backupd key import FILE"
            )
        return self._keys[wanted]

    def sign(self, text: bytes) -> bytes:
        """Return what only the holder of the current master key can say of ``text``."""
        key = derive(self._keys[self.current_fingerprint], "backupd v1 backup record signature")
        return hmac.digest(key, text, "sha256")


def fingerprint(key: bytes) -> str:
    """Return the name of a master key; it says nothing about the key itself."""
    return derive(key, "backupd v1 master key fingerprint")[:8].hex()


def load(path: Path) -> Keyring:
    """Read the key file; KeyMissing when it is not there, KeyMismatch when it is damaged or others can read it."""
    try:
        mode, content = _read(path)
    except FileNotFoundError:
        raise KeyMissing(
            f"{path}: the master key file is missing, and without it no backup can be read\n"
            "HINT: put your copy of it back, or backupd key import FILE; a new one cannot open what the old one sealed"
        ) from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise KeyMismatch(f"{path}: cannot be read: {reason}; expected a file with the master key") from error
    _check_mode(path, mode)
    try:
        return Keyring(parse(_text(content)), origin=str(path))
    except KeyMismatch as error:
        raise KeyMismatch(f"{path}: {error}") from None


def parse(text: str) -> list[bytes]:
    """Return the keys of a key file's text. KeyMismatch says which line is wrong."""
    lines = text.split()
    if not lines:
        raise KeyMismatch("holds no key, expected lines backupd-master-key-1:<key>:<checksum>")
    return [_parse(text, f"line {n}") for n, text in enumerate(lines, 1)]


def _read(path: Path) -> tuple[int, bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # A pipe would wait for a writer.
    try:
        mode = os.fstat(descriptor).st_mode
        return mode, os.read(descriptor, _FILE_BYTES_MAX) if stat.S_ISREG(mode) else b""
    finally:
        os.close(descriptor)


def _check_mode(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise KeyMismatch(f"{path}: expected a regular file with the master key")
    if mode & 0o077:
        raise KeyMismatch(f"{path}: mode {mode & 0o777:04o} lets others read the master key, expected 0600")


def _text(content: bytes) -> str:
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        # Not chained: the cause would show the keys.
        raise KeyMismatch(
            f"byte {error.start} is not text, expected lines backupd-master-key-1:<key>:<checksum>"
        ) from None


def create(path: Path) -> Keyring:
    """Make a key file with one random key, whole or not at all; FileExistsError when there is one.

    The caller holds the directory alone. What a crash leaves of a key is overwritten the next time.
    """
    if path.exists():
        raise FileExistsError(path)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return store(path, [new_key()])


def new_key() -> bytes:
    """Return a master key that nobody has seen before."""
    return secrets.token_bytes(KEY_SIZE_BYTES)


def store(path: Path, keys: Sequence[bytes]) -> Keyring:
    """Make the key file hold these keys, the first of them for new repositories; whole or not at all.

    The caller holds the directory alone.
    """
    partial = path.with_name(f".{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        file.write("".join(f"{line(key)}\n" for key in keys))
        file.flush()  # All of it or an error; one call of the system may write a part.
        os.fsync(file.fileno())
    partial.rename(path)
    _fsync_directory(path.parent)
    return load(path)


def line(key: bytes) -> str:
    """Return the line that stands for ``key`` in a key file."""
    return f"backupd-master-key-1:{key.hex()}:{_checksum(key)}"


def _parse(text: str, where: str) -> bytes:
    found = _LINE.fullmatch(text)
    if not found:
        raise KeyMismatch(f"{where}: expected backupd-master-key-1:<64 hex digits>:<8 hex digits>")
    key = bytes.fromhex(found[1])
    if _checksum(key) != found[2]:
        raise KeyMismatch(f"{where}: the key does not match its checksum; it was damaged or mistyped")
    return key


def _checksum(key: bytes) -> str:
    return hashlib.sha256(b"backupd master key" + key).hexdigest()[:8]


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
