"""The routes of one resource, below whatever comes before them in the URL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import hdrs, web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path, there from microversion 3.``since`` on."""

    method: str
    path: str
    handler: Handler
    since: int


class Routes:
    """Collects handlers."""

    def __init__(self) -> None:
        self.all: list[Route] = []

    def get(self, path: str, *, since: int = 0) -> Callable[[Handler], Handler]:
        return self._add(hdrs.METH_GET, path, since)

    def post(self, path: str, *, since: int = 0) -> Callable[[Handler], Handler]:
        return self._add(hdrs.METH_POST, path, since)

    def put(self, path: str, *, since: int = 0) -> Callable[[Handler], Handler]:
        return self._add(hdrs.METH_PUT, path, since)

    def delete(self, path: str, *, since: int = 0) -> Callable[[Handler], Handler]:
        return self._add(hdrs.METH_DELETE, path, since)

    def _add(self, method: str, path: str, since: int) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            self.all.append(Route(method, path, handler, since))
            return handler

        return add
