"""What every handler may ask for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from aiohttp import web

from backupd.application import Application

# There is one project until there is an identity service.
PROJECT = "default"

APPLICATION = web.AppKey("application", Application)
EXECUTOR = web.AppKey("executor", Executor)
HEALTH: web.AppKey[Callable[[], dict[str, Any]]] = web.AppKey("health")


def services(request: web.Request) -> Application:
    """Return the application services."""
    return request.app[APPLICATION]
