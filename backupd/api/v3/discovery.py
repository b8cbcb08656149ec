"""Which versions there are; anybody may ask."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from backupd.api.v3.context import origin
from backupd.api.v3.microversions import HIGHEST, LOWEST

routes = web.RouteTableDef()


@routes.get("/")
async def versions(request: web.Request) -> web.Response:
    """List the versions, of which there is one; the status says that there is a choice."""
    return web.json_response(_document(request), status=300)


@routes.get("/v3/")
async def version(request: web.Request) -> web.Response:
    """Show the version."""
    return web.json_response(_document(request))


@routes.get("/v3")
async def to_version(request: web.Request) -> web.Response:
    """Lead to where the version is shown."""
    raise web.HTTPFound(f"{origin(request)}/v3/")


@routes.get("/healthcheck")
async def healthcheck(_: web.Request) -> web.Response:
    """Say that the service answers."""
    return web.Response(text="OK")


def _document(request: web.Request) -> dict[str, Any]:
    found = {
        "id": f"v{LOWEST}",
        "status": "CURRENT",
        "version": str(HIGHEST),
        "min_version": str(LOWEST),
        "updated": "2023-08-31T00:00:00Z",
        "links": [
            {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
            {"rel": "self", "href": f"{origin(request)}/v3/"},
        ],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
    }
    return {"versions": [found]}
