"""Who may call: the holders of a static token, or without tokens whoever is on this machine."""

from __future__ import annotations

import hmac
import ipaddress
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from backupd.errors import ConfigError, Unauthorized

TOKEN_CHARACTERS_MIN = 16
_PUBLIC_PATHS = frozenset({"/healthz"})


class Tokens:
    """The tokens that are valid; it never shows them."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tuple(token.encode() for token in tokens)

    def accept(self, token: str) -> bool:
        """Return whether ``token`` is valid, in a time that says nothing about how nearly it is."""
        offered = token.encode(errors="surrogateescape")
        matches = [hmac.compare_digest(offered, known) for known in self._tokens]
        return any(matches)


def read_tokens(path: Path) -> Tokens:
    """Return the tokens in ``path``, one per line. Raises ConfigError when there is none or a bad one."""
    where = f"daemon.token_file = '{path}'"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        # Not chained: the cause would show the tokens.
        raise ConfigError(f"{where}: byte {error.start} is not text; expected one token per line") from None
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read: {(error.strerror or type(error).__name__).lower()}") from error
    tokens = []
    for number, line in enumerate(lines, start=1):
        token = line.strip()
        if not token or token.startswith("#"):
            continue
        if len(token) < TOKEN_CHARACTERS_MIN or not token.isascii() or " " in token:
            raise ConfigError(
                f"{where}: line {number}: expected at least {TOKEN_CHARACTERS_MIN} ASCII characters without spaces"
            )
        tokens.append(token)
    if not tokens:
        raise ConfigError(f"{where}: holds no token; expected one per line")
    return Tokens(tokens)


def authenticate(tokens: Tokens | None) -> Middleware:
    """Return the middleware that lets only callers with a token in, or without ``tokens`` only local ones."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if tokens is None:
            _check_host(request)
        elif request.path not in _PUBLIC_PATHS:
            _check_token(request, tokens)
        return await handler(request)

    return middleware


def _check_token(request: web.Request, tokens: Tokens) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized('expected the header "Authorization: Bearer TOKEN"')
    if not tokens.accept(token.strip()):
        raise Unauthorized("the token is not one of those in the token file")


def _check_host(request: web.Request) -> None:
    # A web page that an operator visits can point its own name at 127.0.0.1 (DNS rebinding),
    # but it cannot fake Host.
    host = request.url.host or ""
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    if not is_local:
        raise web.HTTPForbidden(text="without tokens only requests to localhost, 127.0.0.1 or [::1] are answered")
