"""/v3/attachments, from 3.27 on."""

from __future__ import annotations

from aiohttp import web

from backupd.api.v3 import lists, views
from backupd.api.v3.bodies import NAME, UUID, enclosed, read
from backupd.api.v3.context import caller, since, storage
from backupd.api.v3.routes import Routes
from backupd.application.block_storage.attachments import NewAttachment

routes = Routes()

FILTERS = ("volume_id", "instance_id", "status", "attach_status")

_CONNECTOR = {"type": ["object", "null"]}
_NEW = {"volume_uuid": UUID, "instance_uuid": NAME, "connector": _CONNECTOR}
_CHANGED = {"connector": {"type": "object"}}


@routes.get("/attachments", since=27)
async def index(request: web.Request) -> web.Response:
    """List the attachments, in short."""
    return await _list(request, is_long=False)


@routes.get("/attachments/detail", since=27)
async def detail(request: web.Request) -> web.Response:
    """List the attachments, in full."""
    return await _list(request, is_long=True)


async def _list(request: web.Request, *, is_long: bool) -> web.Response:
    wanted = lists.asked(request, FILTERS)
    found, count = await storage(request).attachments.all(
        caller(request), wanted.listing, all_projects=wanted.all_projects
    )
    documents = [views.attachment(one, is_long=is_long) for one in found]
    return lists.answer(request, wanted, "attachments", documents, count)


@routes.post("/attachments", since=27)
async def create(request: web.Request) -> web.Response:
    """Reserve a volume, or attach it when the request says what to."""
    known = {**_NEW, "mode": {"enum": ["rw", "ro"]}} if since(request, 54) else _NEW
    asked = (await read(request, enclosed("attachment", known, required=("volume_uuid",))))["attachment"]
    connector = asked.get("connector") or {}
    new = NewAttachment(
        instance_id=asked.get("instance_uuid"),
        host=_text(connector.get("host")),
        mountpoint=_text(connector.get("mountpoint")),
        mode=asked.get("mode", "rw"),
    )
    found = await storage(request).attachments.attach(
        caller(request), asked["volume_uuid"], new, is_reserved=not connector
    )
    return web.json_response({"attachment": views.attachment(found, is_long=True)})


@routes.get("/attachments/{id}", since=27)
async def show(request: web.Request) -> web.Response:
    """Show one attachment."""
    found = await storage(request).attachments.one(caller(request), request.match_info["id"])
    return web.json_response({"attachment": views.attachment(found, is_long=True)})


@routes.put("/attachments/{id}", since=27)
async def update(request: web.Request) -> web.Response:
    """Say what a reserved volume is attached to."""
    asked = (await read(request, enclosed("attachment", _CHANGED, required=("connector",))))["attachment"]
    found = await storage(request).attachments.complete(
        caller(request),
        request.match_info["id"],
        host=_text(asked["connector"].get("host")),
        mountpoint=_text(asked["connector"].get("mountpoint")),
    )
    return web.json_response({"attachment": views.attachment(found, is_long=True)})


@routes.post("/attachments/{id}/action", since=44)
async def complete(request: web.Request) -> web.Response:
    """Complete an attachment."""
    await read(request, {"type": "object", "required": ["os-complete"], "additionalProperties": True})
    await storage(request).attachments.complete(caller(request), request.match_info["id"])
    return web.Response(status=204)


@routes.delete("/attachments/{id}", since=27)
async def delete(request: web.Request) -> web.Response:
    """Remove one attachment, and list those that its volume still has."""
    volume = await storage(request).attachments.delete(caller(request), request.match_info["id"])
    return web.json_response({"attachments": [views.attachment(one, is_long=False) for one in volume.attachments]})


def _text(value: object) -> str | None:
    return value[:255] if isinstance(value, str) else None
