"""The query of a list, and the links of its pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson
from aiohttp import web

from backupd.api.v3.bodies import FALSE, TRUE
from backupd.api.v3.context import caller, since, url_of
from backupd.block_storage import Listing, Moment
from backupd.errors import InvalidRequest

LIMIT_MAX = 1000
_INTEGER_MAX = 0x7FFFFFFF
_METADATA_CHARACTERS_MAX = 2000
_KEY = "[a-zA-Z0-9-_:. /]{1,255}"
_COMPARISONS = ("gt", "gte", "lt", "lte", "eq", "neq")
_CONTROLS = ("limit", "offset", "marker", "sort", "sort_key", "sort_dir", "all_tenants")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list was asked for."""

    listing: Listing
    all_projects: bool


def asked(
    request: web.Request,
    filters: tuple[str, ...],
    *,
    name_sorts_since: int = 0,
    constant: Mapping[str, str] | None = None,
    metadata_since: int | None = None,
    has_moments: bool = False,
) -> Asked:
    """Return what the query says. InvalidRequest.

    ``filters`` are those that everybody may use. What is ``constant`` has the same value in every row.
    """
    query = {name: request.query[name] for name in request.query}
    is_counted = False
    if since(request, 45) and "with_count" in query:
        is_counted = _boolean("with_count", query.pop("with_count"))
    metadata: dict[str, str] = {}
    if metadata_since is not None and (text := query.pop("metadata", None)) is not None:
        metadata = _metadata(text) if since(request, metadata_since) else {}
    moments = _moments(query) if has_moments else ()
    for name, value in (constant or {}).items():
        if query.get(name) == value:
            del query[name]
    exact, contains = _filters(request, query, (*filters, *(constant or ())))
    listing = replace(
        paged(query, default_key="created_at", name_sorts=since(request, name_sorts_since)),
        filters=exact,
        contains=contains,
        metadata=metadata,
        moments=moments,
        is_counted=is_counted,
    )
    return Asked(listing, all_projects(request))


def paged(query: Mapping[str, str], *, default_key: str, name_sorts: bool = False) -> Listing:
    """Return which part of a list is asked for, in which order. InvalidRequest."""
    return Listing(
        limit=min(_integer(query.get("limit"), "limit", LIMIT_MAX), LIMIT_MAX),
        offset=_integer(query.get("offset"), "offset", 0),
        marker=query.get("marker"),
        sort=_sort(query, default_key, name_sorts=name_sorts),
    )


def all_projects(request: web.Request) -> bool:
    """Tell whether an administrator asks for what everybody has; of others it is no question. InvalidRequest."""
    value = request.query.get("all_tenants")
    return value is not None and caller(request).is_admin and _boolean("all_tenants", value)


def answer(
    request: web.Request,
    asked_for: Asked,
    name: str,
    documents: list[dict[str, Any]],
    count: int | None,
) -> web.Response:
    """Return the page with the link to the next one, which is there whenever this one is full."""
    body: dict[str, Any] = {name: documents}
    limit = asked_for.listing.limit
    if documents and len(documents) >= limit:
        query = [(key, value) for key, value in request.query.items() if key != "marker"]
        path = request.path.removeprefix("/v3")
        project = request.match_info.get("project_id")
        path = path.removeprefix(f"/{project}") if project else path
        href = f"{url_of(request, path)}?{urlencode([*query, ('marker', documents[-1]['id'])])}"
        body[f"{name}_links"] = [{"rel": "next", "href": href}]
    if count is not None:
        body["count"] = count
    # A long page would hold up everybody else while the standard library writes it.
    return web.Response(body=orjson.dumps(body), content_type="application/json", charset="utf-8")


def _filters(
    request: web.Request, query: dict[str, str], allowed: tuple[str, ...]
) -> tuple[dict[str, str], dict[str, str]]:
    is_admin = caller(request).is_admin
    exact: dict[str, str] = {}
    contains: dict[str, str] = {}
    unknown = []
    for name, value in query.items():
        if name in _CONTROLS:
            continue
        bare = name.removesuffix("~")
        if name != bare and is_admin and since(request, 34):
            contains[bare] = value
        elif is_admin or name in allowed:
            exact[name] = value
        else:
            unknown.append(name)
    if unknown and since(request, 31):
        raise InvalidRequest(f"Invalid filters {', '.join(sorted(unknown))[:200]} are found in query options.")
    return exact, contains


def _metadata(text: str) -> dict[str, str]:
    """Return what clients write as Python does: ``{'key': 'value'}``."""
    try:
        found = ast.literal_eval(text) if len(text) <= _METADATA_CHARACTERS_MAX else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(re.fullmatch(_KEY, str(key)) for key in found):
        raise InvalidRequest("Invalid input received: The filter metadata must be of the form {'key': 'value'}.")
    return {str(key): str(value) for key, value in found.items()}


def _moments(query: dict[str, str]) -> tuple[Moment, ...]:
    return tuple(
        _moment(name, one)
        for name in ("created_at", "updated_at")
        if name in query
        for one in query.pop(name).split(",")
    )


def _moment(name: str, text: str) -> Moment:
    comparison, _, rest = text.strip().partition(":")
    is_compared = comparison in _COMPARISONS
    try:
        value = datetime.fromisoformat(rest if is_compared else text.strip())
        value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"Invalid input received: The filter {name} must be a time, or one of {', '.join(_COMPARISONS)}, "
            "a colon and a time."
        ) from None
    return Moment(name, comparison if is_compared else "eq", value)


def _sort(query: Mapping[str, str], default_key: str, *, name_sorts: bool) -> tuple[tuple[str, bool], ...]:
    if "sort" in query and ("sort_key" in query or "sort_dir" in query):
        raise InvalidRequest("The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with 'sort'.")
    if "sort" in query:
        parts = [part.strip().partition(":") for part in query["sort"].split(",")]
        pairs = [(key.strip(), direction.strip() or "desc") for key, _, direction in parts]
    else:
        pairs = [(query.get("sort_key", default_key).strip(), query.get("sort_dir", "desc").strip())]
    order = []
    for key, direction in pairs:
        if direction not in ("asc", "desc"):
            raise InvalidRequest("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.")
        if key == "name" and not name_sorts:
            raise InvalidRequest("Invalid input received: Invalid sort key")
        order.append(("display_name" if key == "name" else key, direction == "desc"))
    return tuple(dict(order).items())


def _integer(value: str | None, name: str, default: int) -> int:
    if value is None:
        return default
    try:
        found = int(value) if len(value) <= 12 else _INTEGER_MAX + 1
    except ValueError:
        expected = "limit param must be an integer" if name == "limit" else "offset must be an integer"
        raise InvalidRequest(expected) from None
    if found < 0:
        raise InvalidRequest("limit param must be positive" if name == "limit" else "offset must be >= 0")
    if found > _INTEGER_MAX:
        raise InvalidRequest(f"{name} must be <= {_INTEGER_MAX}")
    return found


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in (*TRUE, *FALSE):
        raise InvalidRequest(f"Value '{value[:100]}' for '{name}' is not a boolean.")
    return value.lower() in TRUE
