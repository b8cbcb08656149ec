"""Whether the daemon is well, for a load balancer or a monitor; no token needed."""

from __future__ import annotations

from aiohttp import web

from backupd.api.context import HEALTH

routes = web.RouteTableDef()


@routes.get("/healthz")
async def show(request: web.Request) -> web.Response:
    """Answer what the service knows about itself."""
    return web.json_response(request.app[HEALTH]())
