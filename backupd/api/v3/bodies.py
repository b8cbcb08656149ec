"""JSON bodies, checked against a schema; the messages are Cinder's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

from backupd.api.body import arrive
from backupd.api.json_text import parse_json
from backupd.errors import InvalidRequest

Schema = Mapping[str, Any]

_TYPES = ("application/json", "application/vnd.openstack.volume+json")
_MESSAGE_CHARACTERS_MAX = 1000
_BODY_BYTES_MAX = 256 * 1024
_FORMATS = FormatChecker(formats=["uuid"])
TRUE = ("1", "t", "true", "on", "y", "yes")
FALSE = ("0", "f", "false", "off", "n", "no")

NAME = {"type": ["string", "null"], "maxLength": 255}
UUID = {"type": "string", "format": "uuid"}
OPTIONAL_UUID = {"type": ["string", "null"], "format": "uuid"}
_SPELT = dict.fromkeys(form for text in (*TRUE, *FALSE) for form in (text, text.upper(), text.title()))
BOOLEAN = {"enum": [True, False, *_SPELT]}
METADATA = {
    "type": ["object", "null"],
    "patternProperties": {"^[a-zA-Z0-9-_:. /]{1,255}$": {"type": "string", "maxLength": 255}},
    "additionalProperties": False,
}


def enclosed(name: str, properties: Schema, *, required: tuple[str, ...] = (), is_open: bool = False) -> Schema:
    """Return the schema of ``{name: {...}}``."""
    inner = {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": is_open,
    }
    return {"type": "object", "properties": {name: inner}, "required": [name], "additionalProperties": is_open}


async def read(request: web.Request, schema: Schema) -> dict[str, Any]:
    """Return the body. InvalidRequest that names the field, or HTTP 408, 413, 415."""
    value = await read_any(request)
    check(value, schema)
    return value


async def read_any(request: web.Request) -> dict[str, Any]:
    """Return the body, whatever object it is. InvalidRequest, or HTTP 408, 413, 415."""
    if request.content_type not in _TYPES and request.headers.get(hdrs.CONTENT_TYPE):
        raise web.HTTPUnsupportedMediaType(text="Unsupported Content-Type")
    try:
        value = parse_json(await arrive(request, _BODY_BYTES_MAX))
        text = json.dumps(value, ensure_ascii=False).encode()  # Half a surrogate pair is no text.
    except (InvalidRequest, UnicodeEncodeError) as error:
        raise InvalidRequest("Malformed request body") from error
    is_nul = b"\\u0000" in text.replace(b"\\\\", b"")  # The six characters themselves are a text like any.
    if not isinstance(value, dict) or is_nul:
        raise InvalidRequest("Malformed request body")
    return value


def check(value: Any, schema: Schema) -> None:
    """Raise InvalidRequest unless ``value`` is as the schema says."""
    error = best_match(Draft202012Validator(schema, format_checker=_FORMATS).iter_errors(value))
    if error is None:
        return
    message = error.message
    if error.path:
        shown = "" if isinstance(error.instance, dict | list) else f" Value: {error.instance}."
        message = f"Invalid input for field/attribute {error.path[-1]}.{shown} {message}"
    raise InvalidRequest(message[:_MESSAGE_CHARACTERS_MAX])


def boolean(value: Any) -> bool:
    """Return what a checked value means."""
    return value if isinstance(value, bool) else str(value).lower() in TRUE


def stripped(value: str | None) -> str | None:
    """Return a name without the white space around it."""
    return None if value is None else value.strip()
