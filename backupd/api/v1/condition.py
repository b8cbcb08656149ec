"""/v1/scrubs, /v1/repairs and /v1/damages."""

from __future__ import annotations

from aiohttp import web

from backupd.api import views
from backupd.api.body import read_body
from backupd.api.context import project_of, services
from backupd.api.query import check_query
from backupd.api.v1.description import described
from backupd.application.condition import NewRepair, NewScrub

routes = web.RouteTableDef()


@routes.post("/v1/scrubs")
@described(NewScrub, status=202)
async def scrub(request: web.Request) -> web.Response:
    """Start to scrub a target."""
    return views.started(
        await services(request).condition.scrub(project_of(request), await read_body(request, NewScrub))
    )


@routes.post("/v1/repairs")
@described(NewRepair, status=202)
async def repair(request: web.Request) -> web.Response:
    """Start to repair what is damaged on a target."""
    return views.started(
        await services(request).condition.repair(project_of(request), await read_body(request, NewRepair))
    )


@routes.get("/v1/damages")
@described(query=("target", "backup"), is_list=True)
async def index(request: web.Request) -> web.Response:
    """List what is damaged, on one target or of one backup if the query says so."""
    check_query(request, "target", "backup")
    found = await services(request).condition.damages(
        project_of(request), target=request.query.get("target"), backup=request.query.get("backup")
    )
    return web.json_response([views.damage(one) for one in found])
