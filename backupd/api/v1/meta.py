"""/v1/openapi.json and /v1/capabilities: what there is to ask for, and what this server can do."""

from __future__ import annotations

from aiohttp import web

from backupd.api.context import OPENAPI, services
from backupd.api.query import check_query

routes = web.RouteTableDef()


@routes.get("/v1/openapi.json")
async def openapi(request: web.Request) -> web.Response:
    """Describe this API."""
    return web.json_response(request.app[OPENAPI])


@routes.get("/v1/capabilities")
async def capabilities(request: web.Request) -> web.Response:
    """Say what this server, each kind of source and each target can do."""
    check_query(request)
    return web.json_response(services(request).capabilities.found())
