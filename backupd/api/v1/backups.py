"""/v1/backups."""

from __future__ import annotations

from aiohttp import web

from backupd.api import views
from backupd.api.body import read_body
from backupd.api.context import project_of, services
from backupd.api.query import check_query
from backupd.api.v1.description import described
from backupd.application.backups import NewBackup, NewGroup, NewHold

routes = web.RouteTableDef()

# As many changed extents fit as are taken.
_BODY_BYTES_MAX = 8 * 1024**2


@routes.post("/v1/backups")
@described(NewBackup, status=202)
async def create(request: web.Request) -> web.Response:
    """Start a backup."""
    new = await read_body(request, NewBackup, size_bytes_max=_BODY_BYTES_MAX)
    backup, job = await services(request).backups.create(project_of(request), new)
    headers = {"Location": f"/v1/backups/{backup.id}"}
    body = {"backup": views.backup(backup), "job": views.job(job)}
    return web.json_response(body, status=202, headers=headers)


@routes.post("/v1/backup-groups")
@described(NewGroup, status=202)
async def create_group(request: web.Request) -> web.Response:
    """Start backups of several volumes at one instant."""
    new = await read_body(request, NewGroup)
    backups, job = await services(request).backups.create_group(project_of(request), new)
    body = {"backups": [views.backup(one) for one in backups], "job": views.job(job)}
    return web.json_response(body, status=202, headers={"Location": f"/v1/jobs/{job.id}"})


@routes.get("/v1/backups")
@described(query=("volume",), is_list=True)
async def index(request: web.Request) -> web.Response:
    """List the backups, of one volume if the query says so."""
    check_query(request, "volume")
    backups = await services(request).backups.all(project_of(request), volume=request.query.get("volume"))
    condition = await services(request).condition.of_backups(project_of(request))
    return web.json_response([views.backup(backup, condition=condition(backup.id)) for backup in backups])


@routes.get("/v1/backups/{id}")
async def show(request: web.Request) -> web.Response:
    """Show one backup."""
    backup = await services(request).backups.one(project_of(request), request.match_info["id"])
    condition = await services(request).condition.of_backup(project_of(request), backup.id)
    held = await services(request).backups.held(backup)
    copies = await services(request).copies.of(backup.id)
    more = {"hold": views.hold(held), "taken_with": await services(request).backups.taken_with(backup)}
    return web.json_response({**views.backup(backup, copies, condition=condition), **more})


@routes.put("/v1/backups/{id}/hold")
@described(NewHold, is_body_needed=False)
async def hold(request: web.Request) -> web.Response:
    """Keep one backup from being deleted."""
    new = await read_body(request, NewHold) if request.body_exists else NewHold()
    held = await services(request).backups.hold(project_of(request), request.match_info["id"], new)
    return web.json_response(views.hold(held))


@routes.delete("/v1/backups/{id}/hold")
@described(status=204)
async def release(request: web.Request) -> web.Response:
    """End the hold on one backup."""
    await services(request).backups.release(project_of(request), request.match_info["id"])
    return web.Response(status=204)


@routes.delete("/v1/backups/{id}")
@described(status=202)
async def delete(request: web.Request) -> web.Response:
    """Start the deletion of one backup."""
    job = await services(request).backups.delete(project_of(request), request.match_info["id"])
    return web.json_response({"job": views.job(job)}, status=202, headers={"Location": f"/v1/jobs/{job.id}"})
