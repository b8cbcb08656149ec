"""/v3/volumes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from backupd.api.v3 import lists, views
from backupd.api.v3.bodies import BOOLEAN, FALSE, METADATA, NAME, OPTIONAL_UUID, TRUE, boolean, enclosed, read, stripped
from backupd.api.v3.context import caller, since, storage
from backupd.api.v3.routes import Routes
from backupd.application.block_storage.volumes import NewBlockVolume
from backupd.block_storage import GIB, BlockVolume, VolumeDetails
from backupd.errors import InvalidRequest

routes = Routes()

FILTERS = ("name", "status", "bootable", "size")
_SIZE = {"type": ["integer", "string", "null"], "pattern": "^[0-9]+$", "minimum": 1}
_NEW = {
    "name": NAME,
    "description": NAME,
    "display_name": NAME,
    "display_description": NAME,
    "size": _SIZE,
    "metadata": METADATA,
    "snapshot_id": OPTIONAL_UUID,
    "source_volid": OPTIONAL_UUID,
    "consistencygroup_id": OPTIONAL_UUID,
    "volume_type": NAME,
    "volume_type_id": NAME,
    "availability_zone": NAME,
    "multiattach": {"enum": [None, *BOOLEAN["enum"]]},
    "imageRef": {},
    "image_id": {},
}
_CHANGED = {
    "name": NAME,
    "description": NAME,
    "display_name": NAME,
    "display_description": NAME,
    "metadata": {**METADATA, "type": "object"},
}
_NOT_SERVED = ("imageRef", "image_id", "consistencygroup_id", "group_id")


@routes.get("/volumes")
async def index(request: web.Request) -> web.Response:
    """List the volumes, in short."""
    wanted, found, count = await _listed(request)
    return lists.answer(request, wanted, "volumes", [views.volume_summary(request, one) for one in found], count)


@routes.get("/volumes/detail")
async def detail(request: web.Request) -> web.Response:
    """List the volumes, in full."""
    wanted, found, count = await _listed(request)
    types = await storage(request).types.names(caller(request).project)
    return lists.answer(request, wanted, "volumes", [views.volume(request, one, types) for one in found], count)


@routes.get("/volumes/summary", since=12)
async def total(request: web.Request) -> web.Response:
    """Say how many volumes there are, and how large they are together."""
    found = await storage(request).volumes.summary(caller(request), all_projects=lists.all_projects(request))
    document: dict[str, Any] = {"total_size": found.size_gib, "total_count": found.count}
    if since(request, 36):
        document["metadata"] = found.metadata
    return web.json_response({"volume-summary": document})


async def _listed(request: web.Request) -> tuple[lists.Asked, list[BlockVolume], int | None]:
    wanted = lists.asked(
        request,
        FILTERS,
        constant={"availability_zone": storage(request).availability_zone, "migration_status": "none"},
        metadata_since=0,
        has_moments=since(request, 60),
    )
    listing = replace(wanted.listing, filters=_with_bootable(request, wanted.listing.filters))
    found, count = await storage(request).volumes.all(caller(request), listing, all_projects=wanted.all_projects)
    return wanted, found, count


def _with_bootable(request: web.Request, filters: Mapping[str, str]) -> Mapping[str, str]:
    """Return the filters with the one form of yes or no that is looked for. InvalidRequest."""
    text = filters.get("bootable")
    if text is None:
        return filters
    is_known = text.lower() in (*TRUE, *FALSE)
    if not is_known and since(request, 2):
        raise InvalidRequest(f"Invalid input received: 'bootable = {text[:100]}'")
    is_bootable = boolean(text) if since(request, 2) else text.lower() != "false"
    return {**filters, "bootable": "true" if is_bootable else "false"}


@routes.post("/volumes")
async def create(request: web.Request) -> web.Response:
    """Make a volume: an empty one, or one of a snapshot, a volume or a backup."""
    later = {"group_id": 13, "backup_id": 47}
    known = _NEW | {name: OPTIONAL_UUID for name, minor in later.items() if since(request, minor)}
    schema = enclosed("volume", known, is_open=not since(request, 53))
    schema = {**schema, "properties": {**schema["properties"], "OS-SCH-HNT:scheduler_hints": {"type": "object"}}}
    asked = (await read(request, schema))["volume"]
    _refuse_unserved({name: asked[name] for name in known if name in asked})
    size = asked.get("size")
    new = NewBlockVolume(
        size_gib=_size(size),
        name=stripped(asked.get("name") or asked.get("display_name")),
        description=stripped(asked.get("description") or asked.get("display_description")),
        metadata=asked.get("metadata") or {},
        volume_type=asked.get("volume_type"),
        availability_zone=asked.get("availability_zone"),
        snapshot_id=asked.get("snapshot_id"),
        source_volume_id=asked.get("source_volid"),
    )
    backup_id = asked.get("backup_id") if since(request, 47) else None
    if backup_id is None:
        found = await storage(request).volumes.create(caller(request), new)
    else:
        details = VolumeDetails(
            name=new.name,
            description=new.description,
            metadata=new.metadata,
            size_bytes=None if new.size_gib is None else new.size_gib * GIB,
        )
        storage(request).volumes.check_zone(new.availability_zone)
        found = await storage(request).backups.create_volume(caller(request), backup_id, details, new.volume_type)
    return web.json_response({"volume": await _document(request, found, is_new=True)}, status=202)


@routes.get("/volumes/{id}")
async def show(request: web.Request) -> web.Response:
    """Show one volume."""
    return web.json_response({"volume": await _document(request, await _one(request))})


@routes.put("/volumes/{id}")
async def update(request: web.Request) -> web.Response:
    """Change name, description or metadata."""
    asked = (await read(request, enclosed("volume", _CHANGED, is_open=not since(request, 53))))["volume"]
    values: dict[str, Any] = {}
    for name in ("name", "description"):
        for key in (f"display_{name}", name):
            if key in asked:
                values[name] = stripped(asked[key])
    if "metadata" in asked:
        values["metadata"] = asked["metadata"]
    if not values:
        raise InvalidRequest("Invalid input received: At least one of name, description or metadata is expected.")
    found = await storage(request).volumes.change(caller(request), request.match_info["id"], **values)
    return web.json_response({"volume": await _document(request, found)})


@routes.delete("/volumes/{id}")
async def delete(request: web.Request) -> web.Response:
    """Remove one volume; with ``cascade`` its snapshots, too."""
    await storage(request).delete_volume(
        caller(request),
        request.match_info["id"],
        is_forced=since(request, 23) and _flag(request, "force"),
        is_cascading=_flag(request, "cascade"),
    )
    return web.Response(status=202)


async def _one(request: web.Request) -> BlockVolume:
    return await storage(request).volumes.one(caller(request), request.match_info["id"])


async def _document(request: web.Request, value: BlockVolume, *, is_new: bool = False) -> dict[str, Any]:
    return views.volume(request, value, await storage(request).types.names(value.project), is_new=is_new)


def _refuse_unserved(asked: dict[str, Any]) -> None:
    for name in _NOT_SERVED:
        if asked.get(name) is not None:
            raise InvalidRequest(f"Invalid input received: {name} is not served here.")
    if boolean(asked.get("multiattach") or False):
        raise InvalidRequest("Invalid input received: multiattach is not served here.")


def _size(value: Any) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and (not re.fullmatch("[0-9]{1,12}", value) or int(value) < 1):
        raise InvalidRequest(f"Invalid input for field/attribute size. Value: {value[:100]}. It must be 1 or more.")
    return int(value)


def _flag(request: web.Request, name: str) -> bool:
    return boolean(request.query.get(name, "false"))
