"""/v1/verifications."""

from __future__ import annotations

from aiohttp import web

from backupd.api import views
from backupd.api.body import read_body
from backupd.api.context import project_of, services
from backupd.api.v1.description import described
from backupd.application.verifications import NewVerification

routes = web.RouteTableDef()


@routes.post("/v1/verifications")
@described(NewVerification, status=202)
async def create(request: web.Request) -> web.Response:
    """Start a verification."""
    job = await services(request).verifications.create(project_of(request), await read_body(request, NewVerification))
    return views.started(job)
