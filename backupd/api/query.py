"""The query of a list, checked like a body."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from aiohttp import web

from backupd.application.fields import invalid
from backupd.errors import InvalidRequest

_Choice = TypeVar("_Choice", bound=StrEnum)


def check_query(request: web.Request, *allowed: str) -> None:
    """Raise InvalidRequest for a parameter that is not ``allowed`` or is there twice."""
    expected = ", ".join(allowed) or "none"
    for name in request.query:
        if name not in allowed:
            raise InvalidRequest(f"{name[:100]}: unknown query parameter; expected {expected}")
        if len(request.query.getall(name)) > 1:
            raise InvalidRequest(f"{name}: the query parameter is there twice")


def read_choice(request: web.Request, name: str, choices: type[_Choice]) -> _Choice | None:
    """Return the parameter as one of ``choices``, or None. Raises InvalidRequest."""
    value = request.query.get(name)
    if value is None:
        return None
    try:
        return choices(value)
    except ValueError:
        raise invalid(name, value, f"one of {', '.join(choices)}") from None


def read_integer(request: web.Request, name: str, default: int) -> int:
    """Return the parameter as an integer. Raises InvalidRequest."""
    value = request.query.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise invalid(name, value, "an integer")
    return int(value)
