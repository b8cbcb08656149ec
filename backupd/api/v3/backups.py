"""/v3/backups."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from backupd.api.v3 import lists, views
from backupd.api.v3.bodies import (
    BOOLEAN,
    METADATA,
    NAME,
    OPTIONAL_UUID,
    UUID,
    boolean,
    check,
    enclosed,
    read,
    read_any,
    stripped,
)
from backupd.api.v3.context import caller, since, storage
from backupd.api.v3.routes import Routes
from backupd.application.block_storage.backups import NewBlockBackup
from backupd.errors import InvalidRequest

routes = Routes()

FILTERS = ("name", "status", "volume_id")
_NEW = {
    "volume_id": UUID,
    "name": NAME,
    "description": NAME,
    "container": NAME,
    "incremental": BOOLEAN,
    "force": BOOLEAN,
    "snapshot_id": OPTIONAL_UUID,
}
_CHANGED = {"name": NAME, "description": NAME}
_RESTORE = enclosed("restore", {"volume_id": OPTIONAL_UUID, "name": NAME})
_RECORD = enclosed(
    "backup-record",
    {
        "backup_service": {"type": "string", "minLength": 1, "maxLength": 255},
        "backup_url": {"type": "string", "minLength": 1},
    },
    required=("backup_service", "backup_url"),
)
_STATUS = enclosed("os-reset_status", {"status": {"type": "string"}}, required=("status",))


@routes.get("/backups")
async def index(request: web.Request) -> web.Response:
    """List the backups, in short."""
    return await _list(request, views.backup_summary)


@routes.get("/backups/detail")
async def detail(request: web.Request) -> web.Response:
    """List the backups, in full."""
    return await _list(request, views.backup)


async def _list(request: web.Request, view: Any) -> web.Response:
    wanted = lists.asked(request, FILTERS, name_sorts_since=37)
    found, count = await storage(request).backups.all(caller(request), wanted.listing, all_projects=wanted.all_projects)
    return lists.answer(request, wanted, "backups", [view(request, one) for one in found], count)


@routes.post("/backups")
async def create(request: web.Request) -> web.Response:
    """Start a backup."""
    later = {"metadata": (43, METADATA), "availability_zone": (51, NAME)}
    known = _NEW | {name: schema for name, (minor, schema) in later.items() if since(request, minor)}
    asked = (await read(request, enclosed("backup", known, required=("volume_id",))))["backup"]
    new = NewBlockBackup(
        volume_id=asked["volume_id"],
        name=stripped(asked.get("name")),
        description=stripped(asked.get("description")),
        container=asked.get("container"),
        incremental=boolean(asked.get("incremental", False)),
        force=boolean(asked.get("force", False)),
        snapshot_id=asked.get("snapshot_id"),
        metadata=asked.get("metadata") or {},
        availability_zone=asked.get("availability_zone"),
    )
    found = await storage(request).backups.create(caller(request), new)
    return web.json_response({"backup": views.backup_summary(request, found)}, status=202)


@routes.post("/backups/import_record")
async def import_record(request: web.Request) -> web.Response:
    """Import what was exported."""
    record = (await read(request, _RECORD))["backup-record"]
    found = await storage(request).records.import_(caller(request), record["backup_service"], record["backup_url"])
    return web.json_response({"backup": views.backup_summary(request, found)}, status=201)


# openstacksdk posts its imports here.
routes.post("/backups/export_record")(import_record)


@routes.get("/backups/{id}")
async def show(request: web.Request) -> web.Response:
    """Show one backup."""
    found = await storage(request).backups.one(caller(request), request.match_info["id"])
    return web.json_response({"backup": views.backup(request, found)})


@routes.put("/backups/{id}", since=9)
async def update(request: web.Request) -> web.Response:
    """Change name, description or metadata."""
    known = {**_CHANGED, "metadata": {**METADATA, "type": "object"}} if since(request, 43) else _CHANGED
    asked = (await read(request, enclosed("backup", known)))["backup"]
    values = {name: stripped(asked[name]) for name in _CHANGED if name in asked}
    if "metadata" in asked:
        values["metadata"] = asked["metadata"]
    found = await storage(request).backups.change(caller(request), request.match_info["id"], **values)
    return web.json_response({"backup": views.backup_summary(request, found)})


@routes.delete("/backups/{id}")
async def delete(request: web.Request) -> web.Response:
    """Start the deletion of one backup."""
    await storage(request).backups.delete(caller(request), request.match_info["id"])
    return web.Response(status=202)


@routes.post("/backups/{id}/restore")
async def restore(request: web.Request) -> web.Response:
    """Start a restore."""
    asked = (await read(request, _RESTORE))["restore"]
    name = stripped(asked.get("name"))
    started = await storage(request).backups.restore(
        caller(request), request.match_info["id"], volume_id=asked.get("volume_id"), name=name
    )
    document = {
        "backup_id": started.backup_id,
        "volume_id": started.volume_id,
        "volume_name": started.volume_name,
    }
    return web.json_response({"restore": document}, status=202)


@routes.get("/backups/{id}/export_record")
async def export_record(request: web.Request) -> web.Response:
    """Export one backup."""
    service, url = await storage(request).records.export(caller(request), request.match_info["id"])
    return web.json_response({"backup-record": {"backup_service": service, "backup_url": url}})


@routes.post("/backups/{id}/action")
async def act(request: web.Request) -> web.Response:
    """Reset the status, or delete by force."""
    body = await read_any(request)
    if not body:
        raise InvalidRequest("Malformed request body")
    action, backup_id = next(iter(body)), request.match_info["id"]
    if action == "os-force_delete":
        await storage(request).backups.force_delete(caller(request), backup_id)
    elif action == "os-reset_status":
        check(body, _STATUS)
        status = body[action]["status"]
        if status.lower() not in ("available", "error"):
            raise InvalidRequest(
                f"Invalid input for field/attribute status. Value: {status[:100]}. "
                f"'{status[:100]}' is not one of ['available', 'error']"
            )
        await storage(request).backups.reset(caller(request), backup_id, status)
    else:
        raise InvalidRequest(
            f"There is no such action: {action[:100]}. Verify the request body and Content-Type header and try again."
        )
    return web.Response(status=202)
