"""Strict JSON: no field twice, no NaN, bounded depth; a large text does not hold up other threads."""

from __future__ import annotations

import json
from typing import Any

from backupd.errors import InvalidRequest


def parse_json(text: bytes) -> Any:
    """Return the value. Raises InvalidRequest that says where the text is wrong."""
    try:
        # The hook also lets other threads run: without it the parser holds the interpreter lock to the end.
        return json.loads(text.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"the body is not JSON: {error.msg.lower()} at {where}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8 text at byte {error.start}") from error
    except ValueError as error:
        raise InvalidRequest("the body holds a number with too many digits") from error
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest(f"{twice}: the field is there twice")
    return value


def _refuse_constant(name: str) -> Any:
    raise InvalidRequest(f"the body holds {name}, which is not a JSON number")
