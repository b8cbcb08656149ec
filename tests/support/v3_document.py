"""A description of ``/v3``, for a machine to make requests of."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": ["string", "null"], "maxLength": 255}
_ID = {"type": "string", "format": "uuid"}
_OPTIONAL_ID = {"type": ["string", "null"], "format": "uuid"}
_METADATA = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 255}}
_ANY: dict[str, Any] = {}
_BACKUP = {
    "volume_id": _ID,
    "name": _TEXT,
    "description": _TEXT,
    "container": _TEXT,
    "incremental": {"type": "boolean"},
    "force": {"type": "boolean"},
    "snapshot_id": _OPTIONAL_ID,
    "metadata": _METADATA,
    "availability_zone": _TEXT,
}
_VOLUME = {
    "size": {"type": ["integer", "string", "null"]},
    "name": _TEXT,
    "description": _TEXT,
    "metadata": _METADATA,
    "snapshot_id": _OPTIONAL_ID,
    "source_volid": _OPTIONAL_ID,
    "backup_id": _OPTIONAL_ID,
    "volume_type": _TEXT,
    "availability_zone": _TEXT,
}
_SNAPSHOT = {"volume_id": _ID, "name": _TEXT, "description": _TEXT, "metadata": _METADATA, "force": {"type": "boolean"}}
_MANAGED = {"host": {"type": "string"}, "ref": {"type": ["object", "string"]}, "name": _TEXT, "metadata": _METADATA}
_RECORD = {"backup_service": {"type": "string"}, "backup_url": {"type": "string"}}
_QUOTA = {name: {"type": ["integer", "string"]} for name in ("backups", "backup_gigabytes", "volumes", "gigabytes")}
_VOLUME_ACTIONS = {
    "os-attach": {"type": "object"},
    "os-detach": {"type": ["object", "null"]},
    "os-reserve": _ANY,
    "os-unreserve": _ANY,
    "os-begin_detaching": _ANY,
    "os-roll_detaching": _ANY,
    "os-extend": {"type": "object", "properties": {"new_size": {"type": ["integer", "string"]}}},
    "os-reset_status": {"type": "object", "properties": {"status": _TEXT}},
    "os-set_bootable": {"type": "object", "properties": {"bootable": _ANY}},
    "os-unmanage": _ANY,
    "os-force_delete": _ANY,
}
_RESET = {"type": "object", "properties": {"status": {"enum": ["available", "error"]}}}
_FAULTS = ("400", "401", "403", "404", "406", "409", "413", "415")
_PAGED = ("limit", "offset", "marker", "sort", "sort_key", "sort_dir", "name", "status", "with_count", "all_tenants")


def backups() -> dict[str, Any]:
    """Return that of backups as an OpenAPI 3.1 document."""
    action = _object({"os-reset_status": _RESET, "os-force_delete": _ANY})
    paths: dict[str, Any] = {
        "/backups": {"get": _list(), "post": _operation("202", [], _enclosed("backup", _BACKUP))},
        "/backups/detail": {"get": _list("volume_id", "name~")},
        "/backups/import_record": {"post": _operation("201", [], _enclosed("backup-record", _RECORD))},
        "/backups/{id}": {
            "get": _one(),
            "put": _one(body=_enclosed("backup", {"name": _TEXT, "metadata": _METADATA})),
            "delete": _one("202", is_empty=True),
        },
        "/backups/{id}/restore": {"post": _one("202", body=_enclosed("restore", {"volume_id": _ID, "name": _TEXT}))},
        "/backups/{id}/export_record": {"get": _one()},
        "/backups/{id}/action": {"post": _one("202", body=action, is_empty=True)},
    }
    return _document(paths)


def around_backups() -> dict[str, Any]:
    """Return that of everything else, as an OpenAPI 3.1 document."""
    metadata = _object({"metadata": _METADATA})
    attachment = _enclosed("attachment", {"volume_uuid": _ID, "connector": {"type": "object"}})
    named = _enclosed("volume", {"name": _TEXT, "description": _TEXT, "metadata": _METADATA})
    paths: dict[str, Any] = {
        "/volumes": {
            "get": _list("created_at", "metadata"),
            "post": _operation("202", [], _enclosed("volume", _VOLUME)),
        },
        "/volumes/detail": {"get": _list("updated_at", "availability_zone", "bootable")},
        "/volumes/summary": {"get": _list()},
        "/volumes/{id}": {"get": _one(), "put": _one(body=named), "delete": _one("202", "cascade", is_empty=True)},
        "/volumes/{id}/metadata": {"get": _one(), "post": _one(body=metadata), "put": _one(body=metadata)},
        "/volumes/{id}/action": {"post": _one("202", body=_object(_VOLUME_ACTIONS), is_empty=True)},
        "/snapshots": {"get": _list("metadata"), "post": _operation("202", [], _enclosed("snapshot", _SNAPSHOT))},
        "/snapshots/{id}": {"get": _one(), "delete": _one("202", is_empty=True)},
        "/snapshots/{id}/action": {"post": _one("202", body=_object({"os-reset_status": _RESET}), is_empty=True)},
        "/attachments": {
            "get": _list(),
            "post": _operation("200", [], attachment),
        },
        "/attachments/{id}": {"get": _one(), "delete": _one()},
        "/manageable_volumes": {"get": _list("host"), "post": _operation("202", [], _enclosed("volume", _MANAGED))},
        "/messages": {"get": _list("resource_type", "event_id")},
        "/messages/{id}": {"get": _one(), "delete": _one("204", is_empty=True)},
        "/os-quota-sets/{id}": {
            "get": _one("200", "usage"),
            "put": _one(body=_enclosed("quota_set", _QUOTA)),
            "delete": _one(is_empty=True),
        },
        "/limits": {"get": _list("project_id")},
        "/types/{id}": {"get": _one()},
        "/os-services": {"get": _list("binary")},
        "/resource_filters": {"get": _list("resource")},
    }
    return _document(paths)


def _document(paths: dict[str, Any]) -> dict[str, Any]:
    info = {"title": "block storage", "version": "3.71"}
    return {"openapi": "3.1.0", "info": info, "paths": {f"/v3{path}": found for path, found in paths.items()}}


def _list(*filters: str) -> dict[str, Any]:
    return _operation("200", [_query(name) for name in (*_PAGED, *filters)])


def _one(
    status: str = "200", *queries: str, body: dict[str, Any] | None = None, is_empty: bool = False
) -> dict[str, Any]:
    parameter = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    return _operation(status, [parameter, *(_query(name) for name in queries)], body, is_empty=is_empty)


def _query(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "string"}}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _enclosed(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {**_object({name: _object(properties)}), "required": [name]}


def _operation(
    status: str, parameters: list[dict[str, Any]], body: dict[str, Any] | None = None, *, is_empty: bool = False
) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    answers: dict[str, Any] = {code: {"description": "refused", "content": content} for code in _FAULTS}
    answers[status] = {"description": "done"} if is_empty else {"description": "done", "content": content}
    operation: dict[str, Any] = {"parameters": parameters, "responses": answers}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation
