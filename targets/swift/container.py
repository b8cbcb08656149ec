"""The container: found or made before the first request, and asked whether it is there when something is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp

from targets.errors import Misconfigured, TargetError, TargetGone, Unavailable
from targets.swift.answers import failure
from targets.swift.cluster import Cluster, info_url
from targets.swift.options import Place, SwiftOptions
from targets.swift.session import Session


class Container:
    """Requests to one container and the objects in it. ``path``: its own, quoted."""

    def __init__(self, session: Session, place: Place, options: SwiftOptions) -> None:
        self._session = session
        self._options = options
        self._name = place.container
        self._prefix = place.prefix
        self._cluster: Cluster | None = None
        self.path = f"/{quote(place.container, safe='')}"

    async def opened(self) -> Cluster:
        """Return what the cluster can do, once the container is there. TargetGone if it is missing.

        Only the first call makes it: one that vanishes later took objects with it, and nobody must think that
        there were none.
        """
        if self._cluster is None:
            cluster = await self._told()
            if not await self._is_there():
                await self._create()
            self._cluster = cluster
        return self._cluster

    @asynccontextmanager
    async def object(
        self,
        method: str,
        key: str,
        *,
        allowed: tuple[int, ...],
        headers: Mapping[str, str] | None = None,
        body: memoryview | bytes = b"",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request for one object and yield an answer of an ``allowed`` status.

        ObjectNotFound only when the container is there, TargetGone when it is not.
        """
        doing = f"{method.lower()} {key}"
        path = f"{self.path}/{self._prefix}{key}"  # No letter of a key needs a quote.
        async with self._session.request(method, path, headers=headers, body=body) as response:
            if response.status in allowed:
                yield response
                return
            error = await failure(doing, response)
        if response.status == 404:  # Not while the other answer holds its connection: there may be no second one.
            await self.check(doing)
            if method == "PUT":
                raise Unavailable(f"{doing}: container {self._name} was not there, and is now") from error
        raise error

    async def check(self, doing: str) -> None:
        """Raise TargetGone if the container is missing."""
        if not await self._is_there():
            raise self._gone(doing)

    @asynccontextmanager
    async def listed(self, query: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield a page of the listing. TargetGone if the container is missing."""
        async with self._session.request("GET", f"{self.path}?{query}") as response:
            if response.status == 404:
                raise self._gone("list")
            if response.status not in (200, 204):
                raise await failure(f"list container {self._name}", response)
            yield response

    async def _told(self) -> Cluster:
        login = await self._session.login()
        async with self._session.unsigned(info_url(login.storage_url)) as response:
            if response.status == 200:
                return Cluster.of(await response.read())
            if response.status >= 500 or response.status in (408, 429, 498):
                raise await failure("ask the cluster what it can do", response)
        return Cluster()  # Not every operator lets it be told.

    async def _is_there(self) -> bool:
        async with self._session.request("HEAD", self.path) as response:
            if response.status in (404, 410):
                return False
            if response.status not in (200, 204):
                raise await failure(f"look for container {self._name}", response)
            return True

    async def _create(self) -> None:
        if not self._options.create_container:
            raise self._gone("open")
        policy = self._options.storage_policy
        headers = {"X-Storage-Policy": policy} if policy else {}
        error: TargetError | None = None
        async with self._session.request("PUT", self.path, headers=headers) as response:
            if response.status not in (201, 202, 204):
                error = await failure(f"create container {self._name}", response)
        if error is None:
            return
        if response.status == 404:
            raise TargetGone(f"create container {self._name}: the account does not exist") from error
        if response.status in (400, 409) and policy:
            raise Misconfigured(f"option storage_policy: {policy}: {error}") from error
        raise error

    def _gone(self, doing: str) -> TargetGone:
        return TargetGone(f"{doing}: container {self._name} does not exist, or its account")
