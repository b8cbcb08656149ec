"""/v3/volumes/{id}/action."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from backupd.api.v3.bodies import NAME, OPTIONAL_UUID, boolean, check, read_any
from backupd.api.v3.context import caller, since, storage
from backupd.api.v3.routes import Routes
from backupd.application.block_storage.attachments import NewAttachment
from backupd.block_storage import VolumeStatus
from backupd.errors import InvalidRequest

routes = Routes()

_Action = Callable[[web.Request, str, Any], Awaitable[None]]
_ATTACH = {
    "type": "object",
    "properties": {
        "instance_uuid": OPTIONAL_UUID,
        "host_name": NAME,
        "mountpoint": {"type": "string", "minLength": 1, "maxLength": 255},
        "mode": {"enum": ["rw", "ro"]},
    },
    "required": ["mountpoint"],
    "anyOf": [{"required": ["instance_uuid"]}, {"required": ["host_name"]}],
    "additionalProperties": False,
}
_DETACH = {"type": ["object", "null"], "properties": {"attachment_id": OPTIONAL_UUID}, "additionalProperties": False}
_STATUS = {
    "type": "object",
    "properties": {
        "status": {"type": ["string", "null"], "maxLength": 255},
        "attach_status": {},
        "migration_status": {},
    },
    "additionalProperties": False,
}
_EXTEND = {
    "type": "object",
    "properties": {"new_size": {"type": ["integer", "string"], "pattern": "^[0-9]{1,10}$", "minimum": 1}},
    "required": ["new_size"],
    "additionalProperties": False,
}
_BOOTABLE = {"type": "object", "properties": {"bootable": {}}, "required": ["bootable"]}
_STEPS = {
    "os-reserve": ((VolumeStatus.AVAILABLE,), VolumeStatus.RESERVED),
    "os-unreserve": ((VolumeStatus.RESERVED, VolumeStatus.ATTACHING), VolumeStatus.AVAILABLE),
    "os-begin_detaching": ((VolumeStatus.IN_USE,), VolumeStatus.DETACHING),
    "os-roll_detaching": ((VolumeStatus.DETACHING,), VolumeStatus.IN_USE),
}


@routes.post("/volumes/{id}/action")
async def act(request: web.Request) -> web.Response:
    """Do what the one key of the body names."""
    body = await read_any(request)
    if not body:
        raise InvalidRequest("Malformed request body")
    name, volume_id = next(iter(body)), request.match_info["id"]
    if name in _STEPS:
        expected, status = _STEPS[name]
        await storage(request).attachments.mark(caller(request), volume_id, expected=expected, status=status)
    elif name in _ACTIONS:
        await _ACTIONS[name](request, volume_id, body[name])
    else:
        raise InvalidRequest(
            f"There is no such action: {name[:100]}. Verify the request body and Content-Type header and try again."
        )
    return web.Response(status=202 if name != "os-set_bootable" else 200)


async def _attach(request: web.Request, volume_id: str, value: Any) -> None:
    check(value, _ATTACH)
    new = NewAttachment(
        instance_id=value.get("instance_uuid"),
        host=value.get("host_name"),
        mountpoint=value["mountpoint"],
        mode=value.get("mode", "rw"),
    )
    await storage(request).attachments.attach(caller(request), volume_id, new)


async def _detach(request: web.Request, volume_id: str, value: Any) -> None:
    check(value, _DETACH)
    await storage(request).attachments.detach(caller(request), volume_id, (value or {}).get("attachment_id"))


async def _reset(request: web.Request, volume_id: str, value: Any) -> None:
    check(value, _STATUS)
    await storage(request).volumes.reset(caller(request), volume_id, value.get("status") or VolumeStatus.AVAILABLE)


async def _extend(request: web.Request, volume_id: str, value: Any) -> None:
    check(value, _EXTEND)
    await storage(request).volumes.extend(caller(request), volume_id, int(value["new_size"]), in_use=since(request, 42))


async def _force_delete(request: web.Request, volume_id: str, _: Any) -> None:
    await storage(request).volumes.delete(caller(request), volume_id, is_forced=True)


async def _unmanage(request: web.Request, volume_id: str, _: Any) -> None:
    await storage(request).managed.unmanage(caller(request), volume_id)


async def _set_bootable(request: web.Request, volume_id: str, value: Any) -> None:
    check(value, _BOOTABLE)
    await storage(request).volumes.change(caller(request), volume_id, is_bootable=boolean(value["bootable"]))


_ACTIONS: dict[str, _Action] = {
    "os-attach": _attach,
    "os-detach": _detach,
    "os-reset_status": _reset,
    "os-extend": _extend,
    "os-force_delete": _force_delete,
    "os-unmanage": _unmanage,
    "os-set_bootable": _set_bootable,
}
