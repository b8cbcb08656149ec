"""Each resource at both of its URLs, with the project and without; from the microversion on that has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps

from aiohttp import hdrs, web

from backupd.api.v3 import (
    attachments,
    backups,
    discovery,
    managed,
    messages,
    others,
    quotas,
    snapshots,
    volume_actions,
    volume_metadata,
    volumes,
)
from backupd.api.v3.context import since
from backupd.api.v3.routes import Route
from backupd.errors import NotFound

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RESOURCES = (
    backups,
    volumes,
    volume_metadata,
    volume_actions,
    snapshots,
    attachments,
    managed,
    messages,
    quotas,
    others,
)
_PREFIXES = ("/v3", "/v3/{project_id}")


def add_routes(app: web.Application) -> None:
    """Add everything that there is of this API."""
    app.add_routes(discovery.routes)
    for prefix in _PREFIXES:
        for resource in RESOURCES:
            for route in resource.routes.all:
                add = app.router.add_route
                add(route.method, f"{prefix}{route.path}", _gated(route))
                if route.method == hdrs.METH_GET:
                    add(hdrs.METH_HEAD, f"{prefix}{route.path}", _gated(route))


def _gated(route: Route) -> _Handler:
    @wraps(route.handler)
    async def handler(request: web.Request) -> web.StreamResponse:
        if not since(request, route.since):
            raise NotFound("The resource could not be found.")
        return await route.handler(request)

    return handler
