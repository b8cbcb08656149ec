"""Options of a kind of source as the operator wrote them -> the frozen dataclass of that kind. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

from chunker.errors import SourceMisconfigured

Options = TypeVar("Options")

_EXPECTED: dict[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    str | None: "a text",
    tuple[str, ...]: "a list of texts",
}


def read_options(kind: str, expected: type[Options], given: Mapping[str, Any]) -> Options:
    """Return ``expected`` with what was given. SourceMisconfigured names the option that is wrong.

    A value is repeated only by its type: what stands in the wrong place may be a secret.
    """
    types = get_type_hints(expected)
    known = {field.name: field for field in fields(expected)}  # type: ignore[arg-type] # a dataclass
    values = {}
    for name, value in given.items():
        if name not in known:
            raise SourceMisconfigured(f"option {name}: unknown for {kind}, expected one of: {', '.join(sorted(known))}")
        values[name] = _read(name, types[name], value)
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise SourceMisconfigured(f"option {name}: missing for {kind}, expected {_EXPECTED[types[name]]}")
    return expected(**values)


def _read(name: str, kind: Any, value: Any) -> Any:
    if kind == tuple[str, ...] and isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return tuple(value)
    if kind is float and type(value) is int:
        return float(value)
    # To Python a bool is an int, never to the operator.
    is_wrong_bool = type(value) is bool and kind is not bool
    if is_wrong_bool or value is None or kind == tuple[str, ...] or not isinstance(value, kind):
        raise SourceMisconfigured(f"option {name}: a value of type {type(value).__name__}, expected {_EXPECTED[kind]}")
    return value
