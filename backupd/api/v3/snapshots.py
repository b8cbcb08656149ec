"""/v3/snapshots."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from backupd.api.v3 import lists, views
from backupd.api.v3.bodies import BOOLEAN, METADATA, NAME, UUID, boolean, check, enclosed, read, read_any, stripped
from backupd.api.v3.context import caller, since, storage
from backupd.api.v3.routes import Routes
from backupd.application.block_storage.snapshots import NewSnapshot
from backupd.block_storage import Snapshot
from backupd.errors import InvalidRequest

routes = Routes()

FILTERS = ("name", "status", "volume_id")
_NEW = {
    "volume_id": UUID,
    "name": NAME,
    "description": NAME,
    "display_name": NAME,
    "display_description": NAME,
    "metadata": METADATA,
    "force": BOOLEAN,
}
_CHANGED = {
    "name": NAME,
    "description": NAME,
    "display_name": NAME,
    "display_description": NAME,
}
_STATUS = enclosed("os-reset_status", {"status": {"type": "string"}}, required=("status",))
_METADATA = {
    "type": "object",
    "properties": {"metadata": {**METADATA, "type": "object"}},
    "required": ["metadata"],
    "additionalProperties": False,
}


@routes.get("/snapshots")
async def index(request: web.Request) -> web.Response:
    """List the snapshots, in short."""
    return await _list(request, is_long=False)


@routes.get("/snapshots/detail")
async def detail(request: web.Request) -> web.Response:
    """List the snapshots, in full."""
    return await _list(request, is_long=True)


async def _list(request: web.Request, *, is_long: bool) -> web.Response:
    zone = storage(request).availability_zone
    wanted = lists.asked(request, FILTERS, name_sorts_since=30, constant={"availability_zone": zone}, metadata_since=22)
    found, count = await storage(request).snapshots.all(
        caller(request), wanted.listing, all_projects=wanted.all_projects
    )
    documents = [views.snapshot(request, one, is_long=is_long) for one in found]
    return lists.answer(request, wanted, "snapshots", documents, count)


@routes.post("/snapshots")
async def create(request: web.Request) -> web.Response:
    """Make a snapshot."""
    asked = (await read(request, enclosed("snapshot", _NEW, required=("volume_id",))))["snapshot"]
    is_forced = boolean(asked.get("force", False))
    if since(request, 66):
        if "force" in asked and not is_forced:
            raise InvalidRequest("Invalid value for force: force=false is no longer meaningful from version 3.66 on.")
        is_forced = True
    new = NewSnapshot(
        volume_id=asked["volume_id"],
        name=stripped(asked.get("name") or asked.get("display_name")),
        description=stripped(asked.get("description") or asked.get("display_description")),
        metadata=asked.get("metadata") or {},
        force=is_forced,
    )
    found = await storage(request).snapshots.create(caller(request), new)
    return web.json_response({"snapshot": views.snapshot(request, found, is_long=False)}, status=202)


@routes.get("/snapshots/{id}")
async def show(request: web.Request) -> web.Response:
    """Show one snapshot."""
    return web.json_response({"snapshot": views.snapshot(request, await _one(request), is_long=True)})


@routes.put("/snapshots/{id}")
async def update(request: web.Request) -> web.Response:
    """Change name or description."""
    asked = (await read(request, enclosed("snapshot", _CHANGED)))["snapshot"]
    values: dict[str, Any] = {}
    for name in ("name", "description"):
        for key in (f"display_{name}", name):
            if key in asked:
                values[name] = stripped(asked[key])
    found = await storage(request).snapshots.change(caller(request), request.match_info["id"], **values)
    return web.json_response({"snapshot": views.snapshot(request, found, is_long=False)})


@routes.delete("/snapshots/{id}")
async def delete(request: web.Request) -> web.Response:
    """Remove one snapshot."""
    await storage(request).snapshots.delete(caller(request), request.match_info["id"])
    return web.Response(status=202)


@routes.get("/snapshots/{id}/metadata")
async def show_metadata(request: web.Request) -> web.Response:
    """Show the metadata."""
    return web.json_response({"metadata": dict((await _one(request)).metadata)})


@routes.post("/snapshots/{id}/metadata")
async def add_metadata(request: web.Request) -> web.Response:
    """Add to the metadata."""
    added = (await read(request, _METADATA))["metadata"]
    found = await storage(request).snapshots.add_metadata(caller(request), request.match_info["id"], added)
    return web.json_response({"metadata": dict(found.metadata)})


@routes.put("/snapshots/{id}/metadata")
async def replace_metadata(request: web.Request) -> web.Response:
    """Replace the metadata."""
    metadata = (await read(request, _METADATA))["metadata"]
    found = await storage(request).snapshots.change(caller(request), request.match_info["id"], metadata=metadata)
    return web.json_response({"metadata": dict(found.metadata)})


@routes.post("/snapshots/{id}/action")
async def act(request: web.Request) -> web.Response:
    """Reset the status, or delete by force, which is like any deletion."""
    body = await read_any(request)
    name = next(iter(body), None)
    if name == "os-reset_status":
        check(body, _STATUS)
        await storage(request).snapshots.reset(caller(request), request.match_info["id"], body[name]["status"])
    elif name == "os-force_delete":
        await storage(request).snapshots.delete(caller(request), request.match_info["id"])
    elif name == "os-unmanage":
        await storage(request).snapshots.refuse_unmanage(caller(request), request.match_info["id"])
    else:
        raise InvalidRequest(f"There is no such action: {str(name)[:100]}. Verify the request body and try again.")
    return web.Response(status=202)


async def _one(request: web.Request) -> Snapshot:
    return await storage(request).snapshots.one(caller(request), request.match_info["id"])
