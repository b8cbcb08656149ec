"""A secret in a file of its own, which nobody but its owner may read."""

from __future__ import annotations

import os
from pathlib import Path

from targets.errors import Misconfigured

_SIZE_BYTES_MAX = 64 * 1024


def read_secret(option: str, path: str) -> str:
    """Return the text of the file without the end of its line. Misconfigured names the option and the path."""
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            secret = file.read(_SIZE_BYTES_MAX)
    except OSError as error:
        raise Misconfigured(f"option {option}: {path}: {error.strerror or error}") from error
    if mode & 0o077:
        raise Misconfigured(
            f"option {option}: {path}: mode {mode:04o} lets others read the secret, expected 0600"
            f"\nHINT: chmod 0600 {path}"
        )
    try:
        text = secret.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""  # The error would show a part of it.
    if not text:
        raise Misconfigured(f"option {option}: {path}: expected one line of text")
    return text
