"""The OpenAPI 3.1 document of ``/v1``, made from its routes and the dataclasses that they take."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import MISSING, fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from aiohttp import hdrs, web

import backupd
from backupd.api.v1.description import Description, description_of
from backupd.api.v1.microversions import HEADER, HIGHEST, LOWEST
from backupd.model import BackupMode, JobKind, JobState

_ENUMS = {BackupMode: list(BackupMode), JobKind: list(JobKind), JobState: list(JobState)}
_SIMPLE: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    NoneType: {"type": "null"},
}
_QUERY: dict[str, dict[str, Any]] = {
    "state": {"type": "string", "enum": list(JobState)},
    "kind": {"type": "string", "enum": list(JobKind)},
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
}
_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "code"],
}
_REFUSALS = {
    "400": "a field is wrong; the detail names it",
    "401": "no valid token",
    "403": "the caller's roles do not allow it",
    "404": "there is no such thing",
    "406": "a microversion that is not served",
    "408": "the body did not arrive in time",
    "409": "the thing is not in the state that this needs",
    "413": "the body is too large, or a quota used up",
    "415": "the body is not application/json",
    "502": "a target failed",
    "503": "something that this needs does not answer now",
}
_METHODS = (hdrs.METH_GET, hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_PATCH, hdrs.METH_DELETE)


@cache
def document(resources: tuple[Iterable[web.AbstractRouteDef], ...]) -> dict[str, Any]:
    """Return the document for the routes of all resources."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    for routes in resources:
        for route in routes:
            if isinstance(route, web.RouteDef) and route.method in _METHODS:
                operation = _operation(route, description_of(route.handler), schemas)
                paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "backupd",
            "version": backupd.__version__,
            "description": f"Microversions {LOWEST} to {HIGHEST}, asked for with the header {HEADER}.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _operation(route: web.RouteDef, described: Description, schemas: dict[str, Any]) -> dict[str, Any]:
    module = route.handler.__module__.rpartition(".")[2]
    names = re.findall(r"{(\w+)}", route.path)
    parameters = [_parameter(name, "path", {"type": "string"}) for name in names]
    parameters += [_parameter(name, "query", _QUERY.get(name, {"type": "string"})) for name in described.query]
    operation: dict[str, Any] = {
        "operationId": f"{module}.{route.handler.__name__}",
        "tags": [module],
        "summary": (route.handler.__doc__ or "").strip().splitlines()[0],
        "parameters": parameters,
        "responses": _responses(described),
    }
    if described.takes is not None:
        name = described.takes.__name__
        schemas[name] = _schema(described.takes)
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
        operation["requestBody"] = {"required": described.is_body_needed, "content": content}
    return operation


def _parameter(name: str, place: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _responses(described: Description) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    found: dict[str, Any] = {status: {"description": why, "content": problem} for status, why in _REFUSALS.items()}
    answer: dict[str, Any] = {"description": "done" if described.status != 202 else "begun; the job says how it goes"}
    if described.status != 204:
        schema = {"type": "array", "items": {"type": "object"}} if described.is_list else {"type": "object"}
        answer["content"] = {"application/json": {"schema": schema}}
    return {str(described.status): answer, **found}


def _schema(taken: type) -> dict[str, Any]:
    hints = get_type_hints(taken)
    properties = {field.name: _property(hints[field.name]) for field in fields(taken)}
    for field in fields(taken):
        if field.default is not MISSING and field.default is not None:
            properties[field.name]["default"] = field.default
    return {
        "type": "object",
        "description": (taken.__doc__ or "").strip(),
        "properties": properties,
        "required": [field.name for field in fields(taken) if field.default is MISSING],
        "additionalProperties": False,
    }


def _property(hint: Any) -> dict[str, Any]:
    if hint in _SIMPLE:
        return dict(_SIMPLE[hint])
    if hint in _ENUMS:
        return {"type": "string", "enum": _ENUMS[hint]}
    if get_origin(hint) in (UnionType, Union):
        return {"anyOf": [_property(part) for part in get_args(hint)]}
    item = get_args(hint)[0] if get_args(hint) else Any
    return {"type": "array", "items": _property(item) if item is not Any else {}}
