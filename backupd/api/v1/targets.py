"""/v1/targets: they can be shown and probed; the operator's configuration defines them."""

from __future__ import annotations

from aiohttp import web

from backupd.api import views
from backupd.api.body import read_body
from backupd.api.context import project_of, services
from backupd.api.query import check_query
from backupd.api.v1.description import described
from backupd.application.collections import NewCollection
from backupd.application.copies import NewProbe

routes = web.RouteTableDef()


@routes.get("/v1/targets")
@described(is_list=True)
async def index(request: web.Request) -> web.Response:
    """List the targets."""
    check_query(request)
    return web.json_response([views.target(target) for target in services(request).targets.all()])


@routes.get("/v1/targets/{name}")
async def show(request: web.Request) -> web.Response:
    """Show one target."""
    return web.json_response(views.probed_target(await services(request).targets.probed(request.match_info["name"])))


@routes.post("/v1/targets/{name}/probe")
@described(NewProbe, status=202, is_body_needed=False)
async def probe(request: web.Request) -> web.Response:
    """Start to measure what a target really does."""
    wanted = await read_body(request, NewProbe) if request.body_exists else NewProbe()
    name = request.match_info["name"]
    return views.started(await services(request).copies.probe(project_of(request), name, is_quick=wanted.quick))


@routes.post("/v1/targets/{name}/collections")
@described(NewCollection, status=202, is_body_needed=False)
async def collect(request: web.Request) -> web.Response:
    """Start to delete what no backup needs any more, or to find out what that would be."""
    wanted = await read_body(request, NewCollection) if request.body_exists else NewCollection()
    return views.started(
        await services(request).collections.create(project_of(request), request.match_info["name"], wanted)
    )
