"""Who may call ``/v1``: the holders of a token, or without tokens whoever is on this machine."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from backupd.access import ROLES, Access, Caller
from backupd.api.context import CALLER
from backupd.api.identity import OPERATOR, Identity, Tokens
from backupd.errors import ConfigError, Unauthorized

TOKEN_CHARACTERS_MIN = 16
_PUBLIC_PATHS = frozenset({"/healthz"})
_STORES = "/v1/targets"
_BACKING_UP = ("/v1/backups", "/v1/backup-groups", "/v1/verifications", "/v1/jobs")


def read_tokens(path: Path) -> Tokens:
    """Return the tokens in ``path``, one per line. Raises ConfigError when there is none or a bad one.

    A line is ``TOKEN``, of an administrator of the default project, or ``TOKEN USER:PROJECT ROLE[,ROLE]``.
    """
    where = f"daemon.token_file = '{path}'"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        # Not chained: the cause would show the tokens.
        raise ConfigError(f"{where}: byte {error.start} is not text; expected one token per line") from None
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read: {(error.strerror or type(error).__name__).lower()}") from error
    tokens = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or line.lstrip().startswith("#"):
            continue
        if len(words[0]) < TOKEN_CHARACTERS_MIN or not words[0].isascii() or len(words) not in (1, 3):
            raise ConfigError(
                f"{where}: line {number}: expected at least {TOKEN_CHARACTERS_MIN} ASCII characters without spaces, "
                "and behind them nothing or USER:PROJECT ROLE[,ROLE]"
            )
        tokens[words[0]] = _holder(words[1:], f"{where}: line {number}")
    if not tokens:
        raise ConfigError(f"{where}: holds no token; expected one per line")
    return Tokens(tokens)


def _holder(words: list[str], where: str) -> Caller:
    if not words:
        return OPERATOR
    user, _, project = words[0].partition(":")
    roles = words[1].split(",")
    if not user or not project or not set(roles) <= set(ROLES):
        raise ConfigError(f"{where}: expected USER:PROJECT and roles of {', '.join(ROLES)} behind the token")
    return Caller(user, project, frozenset(roles))


def authenticate(identity: Identity, access: Access) -> Middleware:
    """Return the middleware that lets only callers with a token in, or without tokens only local ones."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if identity.is_local:
            check_host(request)
        if request.path not in _PUBLIC_PATHS:
            caller = await identity.caller(_token(request, is_needed=not identity.is_local), None)
            access.require(caller, _rule(request))
            request[CALLER] = caller
        return await handler(request)

    return middleware


def _token(request: web.Request, *, is_needed: bool) -> str | None:
    if "X-Auth-Token" in request.headers:
        return request.headers["X-Auth-Token"]
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer":
        return token
    if is_needed:
        raise Unauthorized('expected the header "Authorization: Bearer TOKEN"')
    return None


def _rule(request: web.Request) -> str:
    """Volumes, types, targets and restores name paths and stores, which are an operator's business.

    Of the stores none but operators hear: ``/v1/capabilities`` says what each can do.
    """
    if request.method in (hdrs.METH_GET, hdrs.METH_HEAD):
        return "backupd:operate" if request.path.startswith(_STORES) else "backupd:read"
    return "backupd:back_up" if request.path.startswith(_BACKING_UP) else "backupd:operate"


def check_host(request: web.Request) -> None:
    """Raise HTTP 403 unless the request is to a name of this machine that only itself can use.

    A web page that an operator visits can point its own name at 127.0.0.1 (DNS rebinding), but it cannot fake Host.
    """
    host = request.url.host or ""
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    if not is_local:
        raise web.HTTPForbidden(text="without tokens only requests to localhost, 127.0.0.1 or [::1] are answered")
