"""/v1/jobs."""

from __future__ import annotations

from aiohttp import web

from backupd.api import views
from backupd.api.context import project_of, services
from backupd.api.query import check_query, read_choice, read_integer
from backupd.api.v1.description import described
from backupd.model import JobKind, JobState

routes = web.RouteTableDef()


@routes.get("/v1/jobs")
@described(query=("state", "kind", "limit"), is_list=True)
async def index(request: web.Request) -> web.Response:
    """List jobs, newest first, of one state or kind if the query says so."""
    check_query(request, "state", "kind", "limit")
    jobs = await services(request).jobs.all(
        project_of(request),
        state=read_choice(request, "state", JobState),
        kind=read_choice(request, "kind", JobKind),
        limit=read_integer(request, "limit", 100),
    )
    return web.json_response([views.job(job) for job in jobs])


@routes.get("/v1/jobs/{id}")
async def show(request: web.Request) -> web.Response:
    """Show one job with its attempts and result."""
    return web.json_response(
        views.job_detail(await services(request).jobs.one(project_of(request), request.match_info["id"]))
    )


@routes.post("/v1/jobs/{id}/cancel")
@described(status=202)
async def cancel(request: web.Request) -> web.Response:
    """Cancel one job."""
    job = await services(request).jobs.cancel(project_of(request), request.match_info["id"])
    return web.json_response({"job": views.job(job)}, status=202)
