"""What every handler may ask for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

from aiohttp import web

from backupd.access import Caller
from backupd.application import Application

APPLICATION = web.AppKey("application", Application)
EXECUTOR = web.AppKey("executor", Executor)
OPENAPI: web.AppKey[dict[str, Any]] = web.AppKey("openapi")
HEALTH: web.AppKey[Callable[[], dict[str, Any]]] = web.AppKey("health")
METRICS: web.AppKey[Callable[[], Awaitable[tuple[str, bytes]]]] = web.AppKey("metrics")
CALLER = web.RequestKey("caller", Caller)


def services(request: web.Request) -> Application:
    """Return the application services."""
    return request.app[APPLICATION]


def project_of(request: web.Request) -> str:
    """Return the project of whoever asks."""
    return request[CALLER].project
