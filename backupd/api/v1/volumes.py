"""/v1/volumes."""

from __future__ import annotations

from aiohttp import web

from backupd.api import views
from backupd.api.body import read_body
from backupd.api.context import PROJECT, services
from backupd.api.query import check_query
from backupd.application.volumes import NewVolume

routes = web.RouteTableDef()


@routes.post("/v1/volumes")
async def add(request: web.Request) -> web.Response:
    """Register a volume."""
    volume = await services(request).volumes.add(PROJECT, await read_body(request, NewVolume))
    headers = {"Location": f"/v1/volumes/{volume.id}"}
    return web.json_response(views.volume(volume), status=201, headers=headers)


@routes.get("/v1/volumes")
async def index(request: web.Request) -> web.Response:
    """List the volumes."""
    check_query(request)
    return web.json_response([views.volume(volume) for volume in await services(request).volumes.all(PROJECT)])


@routes.get("/v1/volumes/{id}")
async def show(request: web.Request) -> web.Response:
    """Show one volume, by id or name."""
    return web.json_response(views.volume(await services(request).volumes.one(PROJECT, request.match_info["id"])))


@routes.delete("/v1/volumes/{id}")
async def remove(request: web.Request) -> web.Response:
    """Forget one volume, by id or name."""
    await services(request).volumes.remove(PROJECT, request.match_info["id"])
    return web.Response(status=204)
