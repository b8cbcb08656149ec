"""/v3/manageable_volumes and /v3/manageable_snapshots, and what they were called before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web

from backupd.api.v3 import views
from backupd.api.v3.bodies import METADATA, NAME, boolean, enclosed, read, stripped
from backupd.api.v3.context import caller, storage
from backupd.api.v3.lists import paged
from backupd.api.v3.routes import Routes
from backupd.application.block_storage.managed import Manageable, NewManaged
from backupd.block_storage import Listing, gib
from backupd.errors import InvalidRequest

routes = Routes()

_REFERENCES = ("source-name", "source-id")
_NEW = {
    "host": {"type": "string", "maxLength": 255},
    "cluster": NAME,
    "ref": {"type": ["object", "string"]},
    "name": NAME,
    "description": NAME,
    "volume_type": NAME,
    "availability_zone": NAME,
    "metadata": METADATA,
    "bootable": {},
}


@routes.get("/manageable_volumes", since=8)
@routes.get("/os-volume-manage")
async def index(request: web.Request) -> web.Response:
    """List what could be managed, in short."""
    found = await storage(request).managed.manageable(caller(request), _page(request))
    return web.json_response({"manageable-volumes": [_document(one) for one in found]})


@routes.get("/manageable_volumes/detail", since=8)
@routes.get("/os-volume-manage/detail")
async def detail(request: web.Request) -> web.Response:
    """List what could be managed, in full."""
    found = await storage(request).managed.manageable(caller(request), _page(request))
    return web.json_response({"manageable-volumes": [_detail(one) for one in found]})


@routes.post("/manageable_volumes", since=8)
@routes.post("/os-volume-manage")
async def manage(request: web.Request) -> web.Response:
    """Manage what is there."""
    asked = (await read(request, enclosed("volume", _NEW, required=("ref",))))["volume"]
    new = NewManaged(
        reference=_reference(asked["ref"]),
        name=stripped(asked.get("name")),
        description=stripped(asked.get("description")),
        metadata=asked.get("metadata") or {},
        volume_type=asked.get("volume_type"),
        is_bootable=boolean(asked.get("bootable", False)),
    )
    found = await storage(request).managed.manage(caller(request), new)
    types = await storage(request).types.names(found.project)
    return web.json_response({"volume": views.volume(request, found, types, is_new=True)}, status=202)


@routes.get("/manageable_snapshots", since=8)
@routes.get("/manageable_snapshots/detail", since=8)
@routes.get("/os-snapshot-manage")
@routes.get("/os-snapshot-manage/detail")
async def snapshots(request: web.Request) -> web.Response:
    """List the snapshots that could be managed."""
    found = storage(request).managed.manageable_snapshots(caller(request))
    return web.json_response({"manageable-snapshots": found})


@routes.post("/manageable_snapshots", since=8)
@routes.post("/os-snapshot-manage")
async def manage_snapshot(request: web.Request) -> web.Response:
    """Refuse: there is nothing that could be managed."""
    storage(request).managed.manage_snapshot(caller(request))


def _page(request: web.Request) -> Listing:
    """Return which part is asked for; the marker is a reference as the list has them, in JSON."""
    listing = paged(request.query, default_key="reference")
    if listing.marker is None:
        return listing
    try:
        return replace(listing, marker=_reference(orjson.loads(listing.marker)))
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        raise InvalidRequest(
            f"Invalid input received: marker {listing.marker[:200]} can not be analysed, please use json like format"
        ) from None


def _reference(value: Any) -> str:
    if isinstance(value, str):
        return value
    named = value if isinstance(value, dict) else {}
    found = next((named[name] for name in _REFERENCES if isinstance(named.get(name), str)), None)
    if found is None:
        raise InvalidRequest("Invalid input for field/attribute ref. Expected source-name or source-id.")
    return str(found)


def _document(value: Manageable) -> dict[str, Any]:
    return {
        "reference": {"source-name": value.reference},
        "size": gib(value.size_bytes),
        "safe_to_manage": value.volume_id is None,
    }


def _detail(value: Manageable) -> dict[str, Any]:
    reason = None if value.volume_id is None else "already managed"
    return {**_document(value), "reason_not_safe": reason, "cinder_id": value.volume_id, "extra_info": None}
