"""A description of ``/v3`` backups, for a machine to make requests of."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": ["string", "null"], "maxLength": 255}
_ID = {"type": "string", "format": "uuid"}
_METADATA = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 255}}
_BACKUP = {
    "volume_id": _ID,
    "name": _TEXT,
    "description": _TEXT,
    "container": _TEXT,
    "incremental": {"type": "boolean"},
    "force": {"type": "boolean"},
    "snapshot_id": {"type": ["string", "null"], "format": "uuid"},
    "metadata": _METADATA,
    "availability_zone": _TEXT,
}
_RECORD = {"backup_service": {"type": "string"}, "backup_url": {"type": "string"}}
_FAULTS = ("400", "401", "403", "404", "409", "413", "415")


def document() -> dict[str, Any]:
    """Return it as an OpenAPI 3.1 document."""
    lists = [_query(name) for name in ("limit", "offset", "marker", "sort", "name", "status", "with_count")]
    one = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    action = {"os-reset_status": _object({"status": {"enum": ["available", "error"]}}), "os-force_delete": {}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "backups", "version": "3.71"},
        "paths": {
            "/v3/backups": {
                "get": _operation("200", lists),
                "post": _operation("202", [], _enclosed("backup", _BACKUP)),
            },
            "/v3/backups/detail": {"get": _operation("200", lists)},
            "/v3/backups/import_record": {"post": _operation("201", [], _enclosed("backup-record", _RECORD))},
            "/v3/backups/{id}": {
                "get": _operation("200", one),
                "put": _operation("200", one, _enclosed("backup", {"name": _TEXT, "metadata": _METADATA})),
                "delete": _operation("202", one, is_empty=True),
            },
            "/v3/backups/{id}/restore": {
                "post": _operation("202", one, _enclosed("restore", {"volume_id": _ID, "name": _TEXT}))
            },
            "/v3/backups/{id}/export_record": {"get": _operation("200", one)},
            "/v3/backups/{id}/action": {"post": _operation("202", one, _object(action), is_empty=True)},
        },
    }


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
