"""/v1/restores."""

from __future__ import annotations

from aiohttp import web

from backupd.api import views
from backupd.api.body import read_body
from backupd.api.context import project_of, services
from backupd.api.v1.description import described
from backupd.application.restores import NewRestore

routes = web.RouteTableDef()


@routes.post("/v1/restores")
@described(NewRestore, status=202)
async def create(request: web.Request) -> web.Response:
    """Start a restore."""
    job = await services(request).restores.create(project_of(request), await read_body(request, NewRestore))
    return views.started(job)
