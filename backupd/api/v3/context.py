"""What every handler of ``/v3`` may ask for."""

from __future__ import annotations

from aiohttp import web

from backupd.access import Caller
from backupd.api.context import CALLER, services
from backupd.api.v3.microversions import Microversion
from backupd.application.block_storage.service import BlockStorage

VERSION = web.RequestKey("version", Microversion)
_BASES = web.RequestKey("bases", tuple)


def storage(request: web.Request) -> BlockStorage:
    """Return the services of block storage."""
    return services(request).block_storage


def caller(request: web.Request) -> Caller:
    """Return who asks."""
    return request[CALLER]


def since(request: web.Request, minor: int) -> bool:
    """Tell whether the request's version is 3.``minor`` or later."""
    return request[VERSION].minor >= minor


def origin(request: web.Request) -> str:
    """Return what URLs begin with, as who asks knows it: also through a proxy that does the encryption."""
    forwarded = request.headers.get("X-Forwarded-Proto", "")
    scheme = forwarded if forwarded in ("http", "https") else request.scheme
    return f"{scheme}://{request.host}"


def url_of(request: web.Request, path: str, *, version: str = "/v3") -> str:
    """Return the URL of a resource, with the project in it when it was in the request's."""
    project = request.match_info.get("project_id")
    return f"{origin(request)}{version}{f'/{project}' if project else ''}{path}"


def links(request: web.Request, path: str) -> list[dict[str, str]]:
    """Return the two links that a resource has."""
    if _BASES not in request:  # Once for all rows of a list.
        request[_BASES] = (url_of(request, ""), url_of(request, "", version=""))
    own, bookmark = request[_BASES]
    return [{"rel": "self", "href": own + path}, {"rel": "bookmark", "href": bookmark + path}]
