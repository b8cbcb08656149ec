"""A master key as text that people print, keep and type again (docs/formats/keys.md).

Groups of letters and digits, a check behind each line, and one over all: whoever mistypes learns in which line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from backupd.errors import KeyMismatch, KeyMissing
from backupd.repository import keyring
from backupd.repository.keyring import Keyring, fingerprint
from chunker.keys import KEY_SIZE_BYTES

# Crockford's base 32: no letter that looks like a digit, and who types one all the same is understood.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOOKALIKES = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None, "\t": None})
_HEADING = re.compile(r"backupd master key ([0-9a-f]{16})")
_NUMBERED = re.compile(r"([1-4])[:.)]?\s+(.*)")
_LINE_BYTES = 10
_LINE_COUNT = 4
_LINE_CHARACTERS = 16
_CHECK_CHARACTERS = 4
_DIGEST_BYTES = _LINE_COUNT * _LINE_BYTES - KEY_SIZE_BYTES


def write(key: bytes) -> str:
    """Return the text of a key: a heading with its fingerprint, and four lines."""
    content = key + _digest(key)
    lines = [f"backupd master key {fingerprint(key)}"]
    for number in range(1, _LINE_COUNT + 1):
        part = content[(number - 1) * _LINE_BYTES : number * _LINE_BYTES]
        text = _encoded(part) + _check(number, part)
        groups = " ".join(text[first : first + 4] for first in range(0, len(text), 4))
        lines.append(f"{number}: {groups}")
    return "\n".join(lines) + "\n"


def read(text: str) -> list[bytes]:
    """Return the keys that a text holds, one behind the other. KeyMismatch says which line is wrong.

    Spaces, hyphens, small letters and empty lines do not matter. Nothing of a key is repeated in the message.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines:
        raise KeyMismatch("the text holds no key, expected a line such as: backupd master key 0123456789abcdef")
    keys = []
    while lines:
        number, heading = lines.pop(0)
        found = _HEADING.fullmatch(heading.lower())
        if not found:
            raise KeyMismatch(f"line {number}: expected a heading such as: backupd master key 0123456789abcdef")
        parts, lines = lines[:_LINE_COUNT], lines[_LINE_COUNT:]
        keys.append(_key(found[1], number, parts))
    return keys


def read_any(text: str) -> list[bytes]:
    """Return the keys of a text: as ``write`` makes it, or of a key file. KeyMismatch says which line is wrong."""
    return keyring.parse(text) if text.lstrip().startswith("backupd-master-key-1:") else read(text)


def load(path: Path) -> Keyring:
    """Return the keys of a file of either kind. KeyMissing when it is not there; KeyMismatch."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise KeyMissing(f"{path}: there is no such file; expected one with the master key") from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise KeyMismatch(f"{path}: cannot be read: {reason}; expected a file with the master key") from error
    try:
        return Keyring(read_any(content.decode("ascii")), origin=str(path))
    except UnicodeDecodeError as error:
        # Not chained: the cause would show the keys.
        raise KeyMismatch(f"{path}: byte {error.start} is not text; expected the master key") from None
    except KeyMismatch as error:
        raise KeyMismatch(f"{path}: {error}") from None


def _key(wanted: str, heading: int, lines: Sequence[tuple[int, str]]) -> bytes:
    content = b"".join(_parts(wanted, heading, lines))
    key, digest = content[:KEY_SIZE_BYTES], content[KEY_SIZE_BYTES:]
    if digest != _digest(key):
        raise KeyMismatch(f"key {wanted}: its lines are each right, but they are not of one key")
    if fingerprint(key) != wanted:
        raise KeyMismatch(f"line {heading}: the key below it is {fingerprint(key)}, not {wanted}")
    return key


def _parts(wanted: str, heading: int, lines: Sequence[tuple[int, str]]) -> Iterator[bytes]:
    for expected in range(1, _LINE_COUNT + 1):
        if len(lines) < expected:
            raise KeyMismatch(f"line {heading}: key {wanted} ends after {expected - 1} of {_LINE_COUNT} lines")
        number, line = lines[expected - 1]
        found = _NUMBERED.fullmatch(line)
        if not found or int(found[1]) != expected:
            raise KeyMismatch(f"line {number}: expected line {expected} of key {wanted}, which begins with {expected}:")
        yield _part(expected, found[2], f"line {number} (line {expected} of key {wanted})")


def _part(number: int, text: str, where: str) -> bytes:
    plain = text.upper().translate(_LOOKALIKES)
    if len(plain) != _LINE_CHARACTERS + _CHECK_CHARACTERS:
        expected = _LINE_CHARACTERS + _CHECK_CHARACTERS
        raise KeyMismatch(f"{where}: {len(plain)} letters and digits, expected {expected}")
    if any(character not in _ALPHABET for character in plain):
        raise KeyMismatch(f"{where}: expected digits and letters without U")
    part = _decoded(plain[:_LINE_CHARACTERS])
    if _check(number, part) != plain[_LINE_CHARACTERS:]:
        raise KeyMismatch(f"{where}: does not match its check, the last four characters; it was damaged or mistyped")
    return part


def _encoded(part: bytes) -> str:
    number = int.from_bytes(part, "big")
    count = len(part) * 8 // 5
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(count)))


def _decoded(text: str) -> bytes:
    number = 0
    for character in text:
        number = number << 5 | _ALPHABET.index(character)
    return number.to_bytes(len(text) * 5 // 8, "big")


def _check(number: int, part: bytes) -> str:
    digest = hashlib.sha256(b"backupd master key line" + bytes([number]) + part).digest()
    return _encoded(digest[:5])[:_CHECK_CHARACTERS]


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(b"backupd master key text" + key).digest()[:_DIGEST_BYTES]
