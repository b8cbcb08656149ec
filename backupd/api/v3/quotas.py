"""/v3/limits, /v3/os-quota-sets and /v3/os-quota-class-sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from backupd.api.v3.bodies import boolean, read
from backupd.api.v3.context import caller, storage
from backupd.api.v3.routes import Routes
from backupd.application.block_storage.quotas import Quota
from backupd.errors import InvalidRequest

routes = Routes()

_LIMIT_MAX = 2**31 - 1
_SET = {
    "type": "object",
    "properties": {"quota_set": {"type": "object", "minProperties": 1}},
    "required": ["quota_set"],
    "additionalProperties": False,
}
_ABSOLUTE = {
    "maxTotalVolumes": "volumes",
    "maxTotalSnapshots": "snapshots",
    "maxTotalVolumeGigabytes": "gigabytes",
    "maxTotalBackups": "backups",
    "maxTotalBackupGigabytes": "backup_gigabytes",
}
_USED = {
    "totalVolumesUsed": "volumes",
    "totalGigabytesUsed": "gigabytes",
    "totalSnapshotsUsed": "snapshots",
    "totalBackupsUsed": "backups",
    "totalBackupGigabytesUsed": "backup_gigabytes",
}


@routes.get("/limits")
async def limits(request: web.Request) -> web.Response:
    """Show what the caller's project may have and has."""
    project = request.query.get("project_id", request.query.get("tenant_id"))
    found = await storage(request).quotas.limits(caller(request), project)
    absolute = {name: found[resource].limit for name, resource in _ABSOLUTE.items()}
    absolute |= {name: found[resource].in_use for name, resource in _USED.items()}
    return web.json_response({"limits": {"rate": [], "absolute": absolute}})


@routes.get("/os-quota-sets/{project}/defaults")
async def defaults(request: web.Request) -> web.Response:
    """Show the limits of a project that has none of its own."""
    found = {"id": request.match_info["project"], **storage(request).quotas.class_defaults(caller(request))}
    return web.json_response({"quota_set": found})


@routes.get("/os-quota-sets/{project}")
async def show(request: web.Request) -> web.Response:
    """Show the limits of a project, with ``usage`` also what it has."""
    project = request.match_info["project"]
    found = await storage(request).quotas.shown(caller(request), project)
    document: dict[str, Any] = {"id": project}
    for name, quota in found.items():
        document[name] = _usage(quota) if boolean(request.query.get("usage", "false")) else quota.limit
    return web.json_response({"quota_set": document})


@routes.put("/os-quota-sets/{project}")
async def change(request: web.Request) -> web.Response:
    """Set limits of a project."""
    asked = (await read(request, _SET))["quota_set"]
    found = await storage(request).quotas.change(caller(request), request.match_info["project"], _limits(asked))
    return web.json_response({"quota_set": {name: quota.limit for name, quota in found.items()}})


@routes.delete("/os-quota-sets/{project}")
async def clear(request: web.Request) -> web.Response:
    """Let the defaults hold again."""
    await storage(request).quotas.clear(caller(request), request.match_info["project"])
    return web.Response(status=200)


@routes.get("/os-quota-class-sets/{name}")
async def show_class(request: web.Request) -> web.Response:
    """Show the defaults, which every class has."""
    found = {"id": request.match_info["name"], **storage(request).quotas.class_defaults(caller(request))}
    return web.json_response({"quota_class_set": found})


@routes.put("/os-quota-class-sets/{name}")
async def change_class(request: web.Request) -> web.Response:
    """Refuse: the defaults are the configuration's."""
    storage(request).quotas.change_class(caller(request))


def _usage(quota: Quota) -> dict[str, int]:
    return {"limit": quota.limit, "in_use": quota.in_use, "reserved": 0}


def _limits(asked: Mapping[str, Any]) -> dict[str, int]:
    found = {}
    for name, value in asked.items():
        if name in ("tenant_id", "project_id", "force"):
            continue
        text = str(value)
        if isinstance(value, bool | float) or not text.removeprefix("-").isdecimal() or not text.isascii():
            raise InvalidRequest(f"Invalid input for field/attribute {name[:100]}. Expected a whole number.")
        if len(text) > 12 or not -1 <= int(text) <= _LIMIT_MAX:
            raise InvalidRequest(f"Invalid input for field/attribute {name[:100]}. Expected -1 to {_LIMIT_MAX}.")
        found[name] = int(text)
    return found
