"""Tokens that Keystone, version 3, vouches for: asked about once in a while, remembered in between."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from backupd.access import Caller
from backupd.clock import Clock
from backupd.config import AuthConfig
from backupd.errors import ConfigError, Unauthorized, Unavailable

_log = logging.getLogger(__name__)
_ANSWER_TIMEOUT_S = 10.0
_REMEMBERED_MAX = 10_000
_RENEWED_BEFORE_S = 60.0
_AWAY = "The identity service does not answer now. Try again later."


@dataclass(frozen=True, slots=True)
class _Known:
    """What Keystone has said of a token, None that it is not valid, and until when that is relied on."""

    caller: Caller | None
    until_s: float


class Keystone:
    """Asks with a token of its own, which it renews by itself; a revoked token is refused within ``token_cache_s``."""

    is_local = False

    def __init__(self, config: AuthConfig, session: aiohttp.ClientSession, clock: Clock) -> None:
        assert config.keystone_url is not None
        base = config.keystone_url.rstrip("/")
        self._base = base if base.endswith("/v3") else f"{base}/v3"
        self.challenge = f'Keystone uri="{self._base.removesuffix("/v3")}"'
        self._config = config
        self._session = session
        self._clock = clock
        self._password = _read_password(config.keystone_password_file)
        # Keyed by a hash: a dump of the memory of a list of tokens would be one of keys.
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._own: str | None = None
        self._own_until_s = 0.0
        self._login = asyncio.Lock()

    async def caller(self, token: str | None, project: str | None) -> Caller:
        if not token or not token.isascii() or not token.isprintable():
            raise Unauthorized("The request you have made requires authentication.")
        key = hashlib.sha256(token.encode()).digest()
        known = self._known.get(key)
        if known is None or known.until_s <= self._clock.monotonic():
            known = await self._ask(token)
            self._known[key] = known
            self._known.move_to_end(key)
            if len(self._known) > _REMEMBERED_MAX:
                self._known.popitem(last=False)
        if known.caller is None:
            raise Unauthorized("The request you have made requires authentication.")
        return known.caller

    async def _ask(self, token: str) -> _Known:
        status, body = await self._validate(token)
        if status == 401:  # Ours was revoked, or Keystone has forgotten its keys.
            self._own = None
            status, body = await self._validate(token)
        now_s = self._clock.monotonic()
        if status == 404:
            return _Known(None, now_s + self._config.token_cache_s)
        if status != 200:
            _log.warning("Keystone answers %d to the question whose a token is", status)
            raise Unavailable(_AWAY)
        try:
            found = body["token"]
            left_s = (datetime.fromisoformat(found["expires_at"]) - self._clock.now()).total_seconds()
            caller = _caller(found)
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(_AWAY) from error
        return _Known(caller, now_s + min(self._config.token_cache_s, left_s))

    async def _validate(self, token: str) -> tuple[int, Any]:
        headers = {"X-Auth-Token": await self._own_token(), "X-Subject-Token": token}
        async with self._request("GET", headers=headers) as response:
            return response.status, json.loads(await response.read() or b"{}")

    async def _own_token(self) -> str:
        async with self._login:
            if self._own is None or self._own_until_s <= self._clock.monotonic():
                await self._log_in()
            assert self._own is not None
            return self._own

    async def _log_in(self) -> None:
        config = self._config
        user = {
            "name": config.keystone_user,
            "domain": {"name": config.keystone_user_domain},
            "password": self._password,
        }
        project = {"name": config.keystone_project, "domain": {"name": config.keystone_project_domain}}
        identity = {"methods": ["password"], "password": {"user": user}}
        auth = {"auth": {"identity": identity, "scope": {"project": project}}}
        async with self._request("POST", json=auth) as response:
            if response.status != 201:
                raise Unavailable(f"{_AWAY} It refuses this service with status {response.status}.")
            found = json.loads(await response.read())["token"]
            self._own = response.headers.get("X-Subject-Token", "")
        life_s = (datetime.fromisoformat(found["expires_at"]) - self._clock.now()).total_seconds()
        self._own_until_s = self._clock.monotonic() + max(life_s - _RENEWED_BEFORE_S, life_s / 2)

    @asynccontextmanager
    async def _request(self, method: str, **arguments: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with (
                asyncio.timeout(_ANSWER_TIMEOUT_S),
                self._session.request(method, f"{self._base}/auth/tokens", **arguments) as response,
            ):
                yield response
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unavailable(_AWAY) from error


@asynccontextmanager
async def keystone(config: AuthConfig, clock: Clock) -> AsyncIterator[Keystone]:
    """Ask Keystone for as long as the context lasts. ConfigError for the password file."""
    async with aiohttp.ClientSession() as session:
        yield Keystone(config, session, clock)


def _caller(found: dict[str, Any]) -> Caller | None:
    if "project" not in found:  # A token of a domain or of nothing: there is nothing here that would be its.
        return None
    roles = frozenset(role["name"].lower() for role in found["roles"])
    return Caller(found["user"]["id"], found["project"]["id"], roles)


def _read_password(path: Path | None) -> str:
    assert path is not None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"auth.keystone_password_file = '{path}': cannot be read; expected a password") from None
