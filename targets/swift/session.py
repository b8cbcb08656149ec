"""Requests with a token: one login for all that need one, and a new one when the store refuses the old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from targets.errors import TargetError
from targets.http.client import HttpClient
from targets.swift.login import LogIn, Login

_AHEAD_SHARE = 0.1
_AHEAD_S_MAX = 60.0


class Session:
    """``monotonic``: seconds; the loop's clock unless another one is given."""

    def __init__(self, http: HttpClient, log_in: LogIn, *, monotonic: Callable[[], float] | None = None) -> None:
        self._http = http
        self._log_in = log_in
        self._monotonic = monotonic or (lambda: asyncio.get_running_loop().time())
        self._lock = asyncio.Lock()
        self._login: Login | None = None
        self._renew_at_s: float | None = None
        self._failures = 0
        self._failure: TargetError | None = None

    @asynccontextmanager
    async def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: memoryview | bytes = b""
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request and yield its answer. ``path``: quoted, what follows the url of the account.

        When the token is refused, it is sent once more with a new one; then a 401 is an answer like others.
        """
        login = await self.login()
        async with self._send(login, method, path, headers, body) as response:
            if response.status != 401:
                yield response
                return
            await response.content.read(1024)  # So that the connection is kept.
        login = await self.login(refused=login)
        async with self._send(login, method, path, headers, body) as response:
            yield response

    async def login(self, refused: Login | None = None) -> Login:
        """Return a login that is good as far as we know; ``refused`` is not. What one attempt raises, all get."""
        if (login := self._good(refused)) is not None:
            return login
        failures = self._failures
        async with self._lock:
            if (login := self._good(refused)) is not None:
                return login
            if self._failure is not None and self._failures > failures:  # While we waited for it.
                raise type(self._failure)(*self._failure.args) from self._failure
            try:
                login = await self._log_in(self._http)
            except TargetError as error:
                self._failures += 1
                self._failure = error
                raise
            self._failure = None
            self._keep(login)
            return login

    @asynccontextmanager
    async def unsigned(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Read something that needs no token."""
        async with self._http.request("GET", URL(url, encoded=True), headers={}) as response:
            yield response

    def _good(self, refused: Login | None) -> Login | None:
        if self._login is refused or (self._renew_at_s is not None and self._monotonic() >= self._renew_at_s):
            return None
        return self._login

    def _keep(self, login: Login) -> None:
        self._login, self._renew_at_s = login, None
        if login.life_s is not None:  # Ahead of time: a body that was sent for a 401 is sent twice.
            ahead_s = min(_AHEAD_S_MAX, login.life_s * _AHEAD_SHARE)
            self._renew_at_s = self._monotonic() + login.life_s - ahead_s

    @asynccontextmanager
    async def _send(
        self, login: Login, method: str, path: str, headers: Mapping[str, str] | None, body: memoryview | bytes
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(f"{login.storage_url}{path}", encoded=True)
        signed = {**(headers or {}), "X-Auth-Token": login.token}
        async with self._http.request(method, url, headers=signed, body=body) as response:
            yield response
