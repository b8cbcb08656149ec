"""Options of a target as the operator wrote them -> the frozen dataclass of its driver. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

from targets.errors import Misconfigured

Options = TypeVar("Options")

_EXPECTED: dict[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    str | None: "a text",
    int | None: "an integer",
    tuple[str, ...]: "a list of texts",
}


def read_options(scheme: str, kind: type[Options], given: Mapping[str, Any]) -> Options:
    """Return ``kind`` with what was given. Misconfigured names the option that is unknown, missing or wrong.

    A value is repeated only by its type: what stands in the wrong place may be a secret.
    """
    types = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type] # a dataclass
    values = {}
    for name, value in given.items():
        if name not in known:
            expected = ", ".join(sorted(known)) or "none"
            raise Misconfigured(f"option {name}: unknown for a {scheme} target, expected one of: {expected}")
        values[name] = _read(name, types[name], value)
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise Misconfigured(f"option {name}: missing for a {scheme} target, expected {_EXPECTED[types[name]]}")
    return kind(**values)


def _read(name: str, kind: Any, value: Any) -> Any:
    if kind == tuple[str, ...] and isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return tuple(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is bool and kind is not bool:  # To Python a bool is an int, never to the operator.
        raise _wrong(name, kind, value)
    if kind == tuple[str, ...] or not isinstance(value, kind) or value is None:
        raise _wrong(name, kind, value)
    return value


def _wrong(name: str, kind: Any, value: Any) -> Misconfigured:
    return Misconfigured(f"option {name}: a value of type {type(value).__name__}, expected {_EXPECTED[kind]}")
