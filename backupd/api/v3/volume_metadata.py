"""/v3/volumes/{id}/metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping

from aiohttp import web

from backupd.api.v3.bodies import METADATA, read
from backupd.api.v3.context import caller, since, storage
from backupd.api.v3.faults import ChangedMeanwhile
from backupd.api.v3.routes import Routes
from backupd.block_storage import BlockVolume
from backupd.errors import InvalidRequest, NotFound

routes = Routes()

Metadata = Mapping[str, str]
_OBJECT = {**METADATA, "type": "object"}


@routes.get("/volumes/{id}/metadata")
async def show_metadata(request: web.Request) -> web.Response:
    """Show the metadata."""
    found = await _found(request)
    response = web.json_response({"metadata": dict(found)})
    if since(request, 15):
        response.etag = _tag(found)
    return response


@routes.post("/volumes/{id}/metadata")
async def add_metadata(request: web.Request) -> web.Response:
    """Add to the metadata."""
    added = await _metadata(request)
    found = await storage(request).volumes.add_metadata(caller(request), request.match_info["id"], added)
    return web.json_response({"metadata": dict(found.details.metadata)})


@routes.put("/volumes/{id}/metadata")
async def replace_metadata(request: web.Request) -> web.Response:
    """Replace the metadata."""
    metadata = await _metadata(request)
    found = await storage(request).volumes.change(
        caller(request), request.match_info["id"], metadata=_if_as_seen(request, lambda _: metadata)
    )
    return web.json_response({"metadata": dict(found.details.metadata)})


@routes.get("/volumes/{id}/metadata/{key}")
async def show_item(request: web.Request) -> web.Response:
    """Show one item."""
    found, key = await _found(request), request.match_info["key"]
    if key not in found:
        raise NotFound(f"Volume {request.match_info['id']} has no metadata with key {key}.")
    return web.json_response({"meta": {key: found[key]}})


@routes.put("/volumes/{id}/metadata/{key}")
async def set_item(request: web.Request) -> web.Response:
    """Set one item."""
    key = request.match_info["key"]
    schema = {"type": "object", "properties": {"meta": _OBJECT}, "required": ["meta"]}
    item = (await read(request, schema))["meta"]
    if list(item) != [key]:
        raise InvalidRequest("Invalid input received: Request body and URI mismatch")
    await storage(request).volumes.change(
        caller(request), request.match_info["id"], metadata=_if_as_seen(request, lambda found: {**found, **item})
    )
    return web.json_response({"meta": item})


@routes.delete("/volumes/{id}/metadata/{key}")
async def delete_item(request: web.Request) -> web.Response:
    """Remove one item."""
    await storage(request).volumes.remove_metadata(caller(request), request.match_info["id"], request.match_info["key"])
    return web.Response(status=200)


async def _found(request: web.Request) -> Metadata:
    return (await storage(request).volumes.one(caller(request), request.match_info["id"])).details.metadata


async def _metadata(request: web.Request) -> dict[str, str]:
    schema = {"type": "object", "properties": {"metadata": _OBJECT}, "required": ["metadata"]}
    return dict((await read(request, schema))["metadata"])


def _tag(metadata: Metadata) -> str:
    return hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode()).hexdigest()


def _if_as_seen(request: web.Request, changed: Callable[[Metadata], Metadata]) -> Callable[[BlockVolume], Metadata]:
    """Return the change, which raises ChangedMeanwhile for metadata that are not those that ``If-Match`` names."""
    tags = request.if_match if since(request, 15) else None

    def change(volume: BlockVolume) -> Metadata:
        found = volume.details.metadata
        if tags is not None and {"*", _tag(found)}.isdisjoint(tag.value for tag in tags):
            raise ChangedMeanwhile("The metadata were changed meanwhile.")
        return changed(found)

    return change
