"""The aiohttp application: middlewares, routes and what the handlers may ask for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from backupd.api import health as health_api
from backupd.api import metrics as metrics_api
from backupd.api import v3
from backupd.api.auth import authenticate
from backupd.api.context import APPLICATION, EXECUTOR, HEALTH, METRICS, OPENAPI
from backupd.api.identity import Identity, NoIdentity
from backupd.api.problems import answer_problems
from backupd.api.request_log import log_requests
from backupd.api.v1 import (
    backup_types,
    backups,
    condition,
    copies,
    jobs,
    messages,
    meta,
    microversions,
    openapi,
    restores,
    targets,
    verifications,
    volumes,
)
from backupd.application import Application
from backupd.clock import Clock

_V1 = (volumes, backup_types, targets, backups, restores, verifications, copies, condition, jobs, messages, meta)
_RESOURCES = (*_V1, health_api, metrics_api)


async def _no_metrics() -> tuple[str, bytes]:
    return "text/plain", b""


def build_app(
    application: Application,
    *,
    health: Callable[[], dict[str, Any]],
    clock: Clock,
    executor: Executor,
    identity: Identity | None = None,
    metrics: Callable[[], Awaitable[tuple[str, bytes]]] = _no_metrics,
) -> web.Application:
    """Return the application.

    ``health`` is what ``/healthz`` answers, ``metrics`` type and content of ``/metrics``; ``executor`` parses large
    bodies; without ``identity`` only requests to this machine's loopback names are answered.
    """
    identity = identity or NoIdentity()
    # From the outside in: whatever the inner ones raise has a status by the time it is logged.
    app = web.Application(
        middlewares=[
            log_requests(clock),
            v3.answer_v3(identity),
            _not_v3(answer_problems),
            _not_v3(authenticate(identity, application.access)),
            _not_v3(microversions.negotiate),
        ]
    )
    app[APPLICATION] = application
    app[EXECUTOR] = executor
    app[HEALTH] = health
    app[METRICS] = metrics
    app[OPENAPI] = openapi.document(tuple(resource.routes for resource in _V1))
    for resource in _RESOURCES:
        app.add_routes(resource.routes)
    v3.add_routes(app)
    return app


def _not_v3(inner: Middleware) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await handler(request) if v3.is_v3(request) else await inner(request, handler)

    return middleware
