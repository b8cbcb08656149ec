"""The rules that fields of several requests share, and the one form of their messages."""

from __future__ import annotations

import re
from typing import Any

from backupd.errors import InvalidRequest, shown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def invalid(field: str, value: Any, expected: str) -> InvalidRequest:
    """Return the error for ``field``; it names the value and what was expected."""
    return InvalidRequest(f"{field} = {shown(value)}: expected {expected}")


def check_name(field: str, value: str) -> None:
    """Raise InvalidRequest unless ``value`` can name a thing in a URL, a table and a shell."""
    if not _NAME.fullmatch(value):
        raise invalid(field, value, "1 to 128 letters, digits, '.', '_' and '-', the first of them a letter or a digit")


def check_integer(field: str, value: int, *, minimum: int, maximum: int) -> None:
    """Raise InvalidRequest unless ``value`` lies from ``minimum`` to ``maximum``."""
    if not minimum <= value <= maximum:
        raise invalid(field, value, f"an integer from {minimum} to {maximum}")
