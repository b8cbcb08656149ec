"""The aiohttp application: middlewares, routes and what the handlers may ask for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from aiohttp import web

from backupd.api import health as health_api
from backupd.api.auth import Tokens, authenticate
from backupd.api.context import APPLICATION, EXECUTOR, HEALTH
from backupd.api.problems import answer_problems
from backupd.api.request_log import log_requests
from backupd.api.v1 import backup_types, backups, condition, copies, jobs, restores, targets, verifications, volumes
from backupd.application import Application
from backupd.clock import Clock

_RESOURCES = (volumes, backup_types, targets, backups, restores, verifications, copies, condition, jobs, health_api)


def build_app(
    application: Application,
    *,
    health: Callable[[], dict[str, Any]],
    clock: Clock,
    executor: Executor,
    tokens: Tokens | None,
) -> web.Application:
    """Return the application.

    ``health`` is what ``/healthz`` answers; ``executor`` parses large bodies; without ``tokens`` only
    requests to this machine's loopback names are answered.
    """
    # From the outside in: whatever the inner ones raise has a status by the time it is logged.
    app = web.Application(middlewares=[log_requests(clock), answer_problems, authenticate(tokens)])
    app[APPLICATION] = application
    app[EXECUTOR] = executor
    app[HEALTH] = health
    for resource in _RESOURCES:
        app.add_routes(resource.routes)
    return app
