"""/v1/backup-types."""

from __future__ import annotations

from aiohttp import web

from backupd.api import views
from backupd.api.body import read_body
from backupd.api.context import services
from backupd.api.query import check_query
from backupd.api.v1.description import described
from backupd.application.backup_types import NewBackupType

routes = web.RouteTableDef()


@routes.post("/v1/backup-types")
@described(NewBackupType, status=201)
async def add(request: web.Request) -> web.Response:
    """Add a backup type."""
    types = services(request).backup_types
    backup_type = await types.add(await read_body(request, NewBackupType))
    headers = {"Location": f"/v1/backup-types/{backup_type.id}"}
    return web.json_response(views.backup_type(types.detail(backup_type)), status=201, headers=headers)


@routes.get("/v1/backup-types")
@described(is_list=True)
async def index(request: web.Request) -> web.Response:
    """List the backup types."""
    check_query(request)
    types = services(request).backup_types
    return web.json_response([views.backup_type(types.detail(one)) for one in await types.all()])


@routes.get("/v1/backup-types/{id}")
async def show(request: web.Request) -> web.Response:
    """Show one backup type, by id or name."""
    types = services(request).backup_types
    return web.json_response(views.backup_type(types.detail(await types.one(request.match_info["id"]))))


@routes.delete("/v1/backup-types/{id}")
@described(status=204)
async def remove(request: web.Request) -> web.Response:
    """Remove one backup type, by id or name."""
    await services(request).backup_types.remove(request.match_info["id"])
    return web.Response(status=204)
