"""One line per request."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from backupd.clock import Clock

_log = logging.getLogger(__name__)


def log_requests(clock: Clock) -> Middleware:
    """Return the middleware that logs method, path, status and time; never a header, a query or a body."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = clock.monotonic()
        status = 499  # The caller went away before there was an answer.
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            # The raw path: the decoded one may hold line breaks.
            elapsed_ms = (clock.monotonic() - started) * 1000
            _log.info("%s %s %d %.1f ms", request.method, request.rel_url.raw_path, status, elapsed_ms)

    return middleware
