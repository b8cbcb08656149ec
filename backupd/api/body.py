"""JSON body -> request value of the application; the fields and types are those of its dataclass."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from aiohttp import hdrs, web

from backupd.api.context import EXECUTOR
from backupd.api.json_text import parse_json
from backupd.application.fields import invalid
from backupd.errors import InvalidRequest
from backupd.model import BackupMode

BODY_BYTES_MAX = 1024**2
_PARSED_AT_ONCE_BYTES_MAX = 64 * 1024
_ARRIVAL_TIMEOUT_S = 60.0
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can spell it, but it is no text that could be stored.
_Request = TypeVar("_Request")


@dataclass(frozen=True, slots=True)
class _Kind:
    expected: str
    accepts: Callable[[Any], bool]
    convert: Callable[[Any], Any] = lambda value: value


# bool is a subclass of int, so integers are told apart by their exact type.
_KINDS: dict[Any, _Kind] = {
    str: _Kind("a string", lambda value: isinstance(value, str)),
    bool: _Kind("true or false", lambda value: isinstance(value, bool)),
    int: _Kind("an integer", lambda value: type(value) is int),
    int | None: _Kind("an integer or null", lambda value: type(value) is int),
    str | None: _Kind("a string or null", lambda value: isinstance(value, str)),
    BackupMode | None: _Kind('"full" or "incremental"', lambda value: value in list(BackupMode), BackupMode),
    tuple[str, ...]: _Kind(
        "a list of strings",
        lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
        tuple,
    ),
    list[Any] | None: _Kind("a list", lambda value: isinstance(value, list)),
}


async def read_body(
    request: web.Request, expected: type[_Request], *, size_bytes_max: int = BODY_BYTES_MAX
) -> _Request:
    """Return the body as ``expected``. Raises InvalidRequest that names the field, or HTTP 408, 413, 415."""
    if request.content_type != "application/json":
        sent = request.headers.get(hdrs.CONTENT_TYPE, "none")
        raise web.HTTPUnsupportedMediaType(text=f"Content-Type is {sent[:100]}; expected application/json")
    text = await arrive(request, size_bytes_max)
    if len(text) <= _PARSED_AT_ONCE_BYTES_MAX:
        return parse_request(parse_json(text), expected)
    value = await asyncio.get_running_loop().run_in_executor(request.app[EXECUTOR], parse_json, text)
    return parse_request(value, expected)


def parse_request(value: Any, expected: type[_Request]) -> _Request:
    """Return ``value`` as ``expected``. Raises InvalidRequest that names the field that is wrong."""
    if not isinstance(value, dict):
        raise InvalidRequest("the body is not a JSON object")
    known = {field.name: field for field in fields(expected)}  # type: ignore[arg-type]  # Any frozen dataclass.
    for name in value:
        if name not in known:
            raise InvalidRequest(f"{name[:100]}: unknown field; {_advice(name, list(known))}")
    hints = get_type_hints(expected)
    values = {}
    for name, field in known.items():
        kind = _KINDS[hints[name]]
        if value.get(name) is not None:
            values[name] = _convert(name, value[name], kind)
        elif name in value and NoneType in get_args(hints[name]):
            values[name] = None
        elif field.default is MISSING:
            raise InvalidRequest(f"{name}: missing; expected {kind.expected}")
        elif name in value:
            raise invalid(name, None, kind.expected)
    return expected(**values)


def _convert(name: str, value: Any, kind: _Kind) -> Any:
    if not kind.accepts(value):
        raise invalid(name, value, kind.expected)
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and _LONE_SURROGATE.search(text):
            raise invalid(name, text, "whole characters, not a half of a surrogate pair")
    return kind.convert(value)


def _advice(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f'did you mean "{close[0]}"?' if close else f"expected {', '.join(known)}"


async def arrive(request: web.Request, size_bytes_max: int) -> bytes:
    """Return the bytes of the body. HTTP 408, 413."""
    too_large = web.HTTPRequestEntityTooLarge(
        max_size=size_bytes_max, actual_size=0, text=f"the body is larger than {size_bytes_max} bytes"
    )
    if (request.content_length or 0) > size_bytes_max:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_ARRIVAL_TIMEOUT_S):
            async for block in request.content.iter_any():
                body += block
                if len(body) > size_bytes_max:
                    raise too_large
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the body did not arrive within {_ARRIVAL_TIMEOUT_S:g} s") from None
    return bytes(body)
