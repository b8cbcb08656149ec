"""/v1/copies and /v1/replications."""

from __future__ import annotations

from aiohttp import web

from backupd.api import views
from backupd.api.body import read_body
from backupd.api.context import project_of, services
from backupd.api.v1.description import described
from backupd.application.copies import NewCopy, NewReplication

routes = web.RouteTableDef()


@routes.post("/v1/copies")
@described(NewCopy, status=202)
async def create(request: web.Request) -> web.Response:
    """Start to bring one backup to one more target."""
    return views.started(await services(request).copies.create(project_of(request), await read_body(request, NewCopy)))


@routes.post("/v1/replications")
@described(NewReplication, status=202)
async def replicate(request: web.Request) -> web.Response:
    """Start to bring a whole repository to another target."""
    return views.started(
        await services(request).copies.replicate(project_of(request), await read_body(request, NewReplication))
    )
