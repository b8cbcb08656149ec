"""/v1/targets: read-only, because the operator's configuration defines them."""

from __future__ import annotations

from aiohttp import web

from backupd.api import views
from backupd.api.context import services
from backupd.api.query import check_query

routes = web.RouteTableDef()


@routes.get("/v1/targets")
async def index(request: web.Request) -> web.Response:
    """List the targets."""
    check_query(request)
    return web.json_response([views.target(target) for target in services(request).targets.all()])


@routes.get("/v1/targets/{name}")
async def show(request: web.Request) -> web.Response:
    """Show one target."""
    return web.json_response(views.target(services(request).targets.one(request.match_info["name"])))
