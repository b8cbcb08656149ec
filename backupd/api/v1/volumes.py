"""/v1/volumes."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from backupd.api import views
from backupd.api.body import read_body
from backupd.api.context import project_of, services
from backupd.api.query import check_query
from backupd.api.v1.description import described
from backupd.application.volumes import NewSource, NewVolume, VolumeChange
from backupd.model import Volume

routes = web.RouteTableDef()


@routes.post("/v1/volumes")
@described(NewVolume, status=201)
async def add(request: web.Request) -> web.Response:
    """Register a volume."""
    volume = await services(request).volumes.add(project_of(request), await read_body(request, NewVolume))
    headers = {"Location": f"/v1/volumes/{volume.id}"}
    (document,) = await _documents(request, [volume])
    return web.json_response(document, status=201, headers=headers)


@routes.get("/v1/volumes")
@described(is_list=True)
async def index(request: web.Request) -> web.Response:
    """List the volumes."""
    check_query(request)
    return web.json_response(await _documents(request, await services(request).volumes.all(project_of(request))))


@routes.get("/v1/volumes/{id}")
async def show(request: web.Request) -> web.Response:
    """Show one volume, by id or name."""
    volume = await services(request).volumes.one(project_of(request), request.match_info["id"])
    (document,) = await _documents(request, [volume])
    return web.json_response(document)


@routes.patch("/v1/volumes/{id}")
@described(VolumeChange)
async def change(request: web.Request) -> web.Response:
    """Give one volume, by id or name, another backup type."""
    new = await read_body(request, VolumeChange)
    volume = await services(request).volumes.change(project_of(request), request.match_info["id"], new)
    (document,) = await _documents(request, [volume])
    return web.json_response(document)


@routes.put("/v1/volumes/{id}/source")
@described(NewSource)
async def move(request: web.Request) -> web.Response:
    """Say where one volume, by id or name, is now."""
    new = await read_body(request, NewSource)
    volume = await services(request).volumes.move(project_of(request), request.match_info["id"], new)
    (document,) = await _documents(request, [volume])
    return web.json_response(document)


@routes.get("/v1/volumes/{id}/retention")
async def retention(request: web.Request) -> web.Response:
    """Show what retention would keep and delete of one volume's backups."""
    check_query(request)
    judged = await services(request).retention.of_volume(project_of(request), request.match_info["id"])
    return web.json_response(views.retention(judged))


@routes.get("/v1/volumes/{id}/tracking")
async def tracking(request: web.Request) -> web.Response:
    """Show whether the changed-block tracking of one volume is trusted, and what of it was audited."""
    check_query(request)
    found = await services(request).volumes.tracking(project_of(request), request.match_info["id"])
    return web.json_response(views.tracking(found))


@routes.delete("/v1/volumes/{id}/tracking/quarantine")
async def trust(request: web.Request) -> web.Response:
    """Trust the changed-block tracking of one volume again."""
    found = await services(request).volumes.trust(project_of(request), request.match_info["id"])
    return web.json_response(views.tracking(found))


@routes.delete("/v1/volumes/{id}")
@described(status=204)
async def remove(request: web.Request) -> web.Response:
    """Forget one volume, by id or name."""
    await services(request).volumes.remove(project_of(request), request.match_info["id"])
    return web.Response(status=204)


async def _documents(request: web.Request, volumes: list[Volume]) -> list[dict[str, Any]]:
    return [views.volume(one) for one in await services(request).volumes.details(volumes)]
