"""Which Unix sockets a source may talk to: those that the operator lists, and those in directories of the list."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

from chunker.errors import InvalidAddress


def check_socket(field: str, path: str, allowed: Sequence[str], *, key: str) -> None:
    """InvalidAddress unless ``path`` leads to a socket in ``allowed``, which is ``key`` of the configuration."""
    if not path.startswith("/") or ".." in Path(path).parts:
        raise InvalidAddress(f'{field} {path}: expected an absolute path without ".."')
    try:
        real = Path(path).resolve()
        roots = [Path(root).resolve() for root in allowed]
        if not any(real.is_relative_to(root) for root in roots):
            raise InvalidAddress(f"{field} {path}: expected one of {', '.join(allowed) or 'none'} ({key})")
        if not stat.S_ISSOCK(real.stat().st_mode):
            raise InvalidAddress(f"{field} {path}: expected a Unix socket")
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links.
        reason = (error.strerror or "unknown error").lower() if isinstance(error, OSError) else "a loop of links"
        raise InvalidAddress(f"{field} {path}: expected a Unix socket that is there ({reason})") from error
