"""What a test asks of a Swift besides the driver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import aiohttp

from tests.support.fault_proxy import Answer, FaultProxy
from tests.support.servers.swift import Swift


class Account:
    """The account of the tests' user. ``url`` has no slash at its end."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def status(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> int:
        """Send a request without a body and return what it came to."""
        async with self.session.request(method, f"{self.url}/{path}", headers=headers) as response:
            return response.status

    async def header(self, path: str, name: str) -> str:
        async with self.session.head(f"{self.url}/{path}") as response:
            return response.headers[name]


@asynccontextmanager
async def account(swift: Swift) -> AsyncIterator[Account]:
    login = {"X-Auth-User": Swift.user, "X-Auth-Key": Swift.key}
    async with aiohttp.ClientSession() as session, session.get(swift.auth_url, headers=login) as response:
        session.headers["X-Auth-Token"] = response.headers["X-Auth-Token"]
        yield Account(session, response.headers["X-Storage-Url"])


class Requests(list[tuple[str, str]]):
    """The (method, path) of every request that it is asked about; none of them matches."""

    def __call__(self, method: str, path: str) -> bool:
        self.append((method, path))
        return False

    def of(self, method: str, part: str) -> int:
        """Return how many there were with that in their path."""
        return sum(1 for one, path in self if one == method and part in path)


@contextmanager
def watched(port: int) -> Iterator[tuple[FaultProxy, Requests]]:
    """Yield a proxy before a server and what goes through it."""
    requests = Requests()
    with FaultProxy("127.0.0.1", port, speaks_http=True) as proxy:
        proxy.set_mode(Answer(status=200, matches=requests))
        yield proxy, requests
