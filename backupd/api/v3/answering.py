"""What goes around each request to ``/v3``: request id, caller, version, and a body for every error."""

from __future__ import annotations

import re
from uuid import uuid4

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from backupd.api.auth import check_host
from backupd.api.context import CALLER
from backupd.api.identity import Identity
from backupd.api.v3.context import VERSION
from backupd.api.v3.faults import NoRoute, fault
from backupd.api.v3.microversions import HEADER, negotiate
from backupd.errors import InvalidRequest, Unauthorized

_PUBLIC_PATHS = frozenset({"/", "/v3", "/v3/", "/healthcheck"})
# What can be part of a key on a target; Keystone's ids and most names are.
_PROJECT = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def is_v3(request: web.Request) -> bool:
    """Tell whether a request is one to this API."""
    return request.path in _PUBLIC_PATHS or request.path.startswith(("/v3/", "/v2/"))  # There was a /v2 of it.


def answer_v3(identity: Identity) -> Middleware:
    """Return the middleware for requests to ``/v3``; others pass."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_v3(request):
            return await handler(request)
        try:
            response = await _answered(request, handler, identity)
        except web.HTTPRedirection:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort; what is not foreseen is logged in full
            response = fault(error)
            if isinstance(error, Unauthorized):
                response.headers[hdrs.WWW_AUTHENTICATE] = identity.challenge
        if VERSION in request and not response.headers.get(HEADER):
            response.headers[HEADER] = f"volume {request[VERSION]}"
        if HEADER in response.headers:
            response.headers[hdrs.VARY] = HEADER
        request_id = f"req-{uuid4()}"
        response.headers["x-compute-request-id"] = response.headers["x-openstack-request-id"] = request_id
        return response

    return middleware


async def _answered(request: web.Request, handler: Handler, identity: Identity) -> web.StreamResponse:
    if identity.is_local:
        check_host(request)
    if request.match_info.http_exception is not None:
        raise NoRoute
    if request.path in _PUBLIC_PATHS:
        return await handler(request)
    asked = request.match_info.get("project_id")
    caller = await identity.caller(request.headers.get("X-Auth-Token"), asked)
    if not _PROJECT.fullmatch(caller.project) or asked not in (None, caller.project):
        raise InvalidRequest("Malformed request url")
    request[CALLER] = caller
    request[VERSION] = negotiate(request.headers.get(HEADER))
    return await handler(request)
