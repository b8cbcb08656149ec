"""What clients ask for around backups: types, services, zones, extensions, filters, and lists of what there is not."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from backupd.api.v3 import attachments, backups, messages, snapshots, volumes
from backupd.api.v3.context import caller, since, storage
from backupd.api.v3.faults import missing
from backupd.api.v3.routes import Routes
from backupd.api.v3.views import HOST, moment
from backupd.application.block_storage.daemon_services import DaemonService
from backupd.application.block_storage.types import VolumeType

routes = Routes()

_EXTENSIONS = {"backups": "Backups", "os-quota-sets": "Quotas", "os-services": "Services", "os-types-manage": "Types"}
_RESOURCE_FILTERS = {
    "volume": [*volumes.FILTERS, "metadata", "availability_zone", "migration_status", "created_at", "updated_at"],
    "backup": [*backups.FILTERS],
    "snapshot": [*snapshots.FILTERS, "metadata", "availability_zone"],
    "message": [*messages.FILTERS],
    "attachment": [*attachments.FILTERS],
}
_SINCE = "2026-01-01T00:00:00+00:00"


@routes.get("/types")
async def types(request: web.Request) -> web.Response:
    """List the types that a volume can be of."""
    found = await storage(request).types.visible(caller(request))
    return web.json_response({"volume_types": [_type(one) for one in found]})


@routes.get("/types/default")
async def default_type(request: web.Request) -> web.Response:
    """Show the type that a volume has if nobody chooses."""
    default, *_ = await storage(request).types.visible(caller(request))
    return web.json_response({"volume_type": _type(default)})


@routes.get("/types/{id}")
async def show_type(request: web.Request) -> web.Response:
    """Show one type."""
    found = await storage(request).types.one(caller(request), request.match_info["id"])
    return web.json_response({"volume_type": _type(found)})


@routes.get("/types/{id}/extra_specs")
async def extra_specs(request: web.Request) -> web.Response:
    """Show that a type has none."""
    await storage(request).types.one(caller(request), request.match_info["id"])
    return web.json_response({"extra_specs": {}})


@routes.get("/types/{id}/encryption")
async def encryption(request: web.Request) -> web.Response:
    """Show that volumes are not encrypted; backups are, which is no matter of a volume's type."""
    await storage(request).types.one(caller(request), request.match_info["id"])
    return web.json_response({})


@routes.get("/os-services")
async def services(request: web.Request) -> web.Response:
    """List this daemon as the services that it stands for."""
    found = storage(request).daemon.all(caller(request), request.query.get("binary"))
    documents = [_service(request, one) for one in found]
    return web.json_response({"services": documents})


@routes.get("/os-availability-zone")
async def zones(request: web.Request) -> web.Response:
    """List the one zone."""
    found = {"zoneName": storage(request).availability_zone, "zoneState": {"available": True}}
    return web.json_response({"availabilityZoneInfo": [found]})


@routes.get("/extensions")
async def extensions(_: web.Request) -> web.Response:
    """List the extensions that there are."""
    return web.json_response({"extensions": [_extension(alias) for alias in _EXTENSIONS]})


@routes.get("/extensions/{alias}")
async def extension(request: web.Request) -> web.Response:
    """Show one extension."""
    alias = request.match_info["alias"]
    if alias not in _EXTENSIONS:
        raise missing("Extension", alias)
    return web.json_response({"extension": _extension(alias)})


@routes.get("/resource_filters", since=33)
async def filters(request: web.Request) -> web.Response:
    """List what everybody may filter lists by."""
    wanted = request.query.get("resource")
    found = [
        {"resource": resource, "filters": names}
        for resource, names in _RESOURCE_FILTERS.items()
        if wanted in (None, resource)
    ]
    return web.json_response({"resource_filters": found})


@routes.get("/volume-transfers")
@routes.get("/volume-transfers/detail")
@routes.get("/os-volume-transfer")
@routes.get("/os-volume-transfer/detail")
async def transfers(_: web.Request) -> web.Response:
    """List transfers, which there are none of."""
    return web.json_response({"transfers": []})


@routes.get("/qos-specs")
async def qos_specs(_: web.Request) -> web.Response:
    """List QoS specs, which there are none of."""
    return web.json_response({"qos_specs": []})


@routes.get("/scheduler-stats/get_pools")
async def pools(request: web.Request) -> web.Response:
    """List pools, which there are none of."""
    return web.json_response({"pools": storage(request).daemon.pools(caller(request))})


def _service(request: web.Request, value: DaemonService) -> dict[str, Any]:
    document: dict[str, Any] = {
        "binary": value.binary,
        "host": HOST,
        "zone": storage(request).availability_zone,
        "status": "enabled",
        "state": "up",
        "updated_at": moment(value.seen_at),
        "disabled_reason": None,
    }
    if since(request, 7):
        document["cluster"] = None
    if since(request, 49) and value.has_backend:
        document["backend_state"] = "up"
    return document


def _type(value: VolumeType) -> dict[str, Any]:
    return {
        "id": value.id,
        "name": value.name,
        "description": None,
        "is_public": True,
        "os-volume-type-access:is_public": True,
        "qos_specs_id": None,
        "extra_specs": {},
    }


def _extension(alias: str) -> dict[str, Any]:
    name = _EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": f"{name}.", "updated": _SINCE, "links": []}
