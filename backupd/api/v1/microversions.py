"""Microversions of ``/v1``: a header asks for one, and each answer says which it is of."""

from __future__ import annotations

import re

from aiohttp import web
from aiohttp.typedefs import Handler

from backupd.errors import InvalidRequest

HEADER = "Backupd-API-Version"
LOWEST = HIGHEST = "1.0"


@web.middleware
async def negotiate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a version that is not served with 406; without a header it is the lowest."""
    asked = request.headers.get(HEADER, LOWEST)
    if asked not in (LOWEST, "latest"):
        if not re.fullmatch(r"[1-9]\d{0,5}\.(0|[1-9]\d{0,5})", asked):
            raise InvalidRequest(f'header {HEADER}: expected a version such as {HIGHEST}, or "latest"')
        raise web.HTTPNotAcceptable(text=f"version {asked} is not served; expected {LOWEST} to {HIGHEST}")
    response = await handler(request)
    response.headers[HEADER] = HIGHEST if asked == "latest" else asked
    return response
