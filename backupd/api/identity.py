"""Who calls: from a token to a caller, in each way that the configuration can name."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Protocol

from backupd.access import ADMIN, Caller
from backupd.errors import Unauthorized

DEFAULT_PROJECT = "default"
OPERATOR = Caller("operator", DEFAULT_PROJECT, frozenset({ADMIN}))
_NOBODY = "anonymous"


class Identity(Protocol):
    """``is_local``: tokens prove nothing, so only requests to this machine's own names are answered.

    ``challenge`` tells who has no valid token how to get one.
    """

    is_local: bool
    challenge: str

    async def caller(self, token: str | None, project: str | None) -> Caller:
        """Return who has the token; ``project`` is the one that the URL names. Unauthorized; Unavailable."""


class NoIdentity:
    """Everybody on this machine may do everything; a token ``user:project`` says as whom, if there must be one."""

    is_local = True
    challenge = 'noauth realm="user:project"'

    def __init__(self, *, must_say_who: bool = False) -> None:
        self._must_say_who = must_say_who

    async def caller(self, token: str | None, project: str | None) -> Caller:
        user, separator, own = (token or "").partition(":")
        if self._must_say_who and not user:
            raise Unauthorized("expected the header X-Auth-Token: user:project")
        named = own if separator else None
        return Caller(user or _NOBODY, named or project or DEFAULT_PROJECT, frozenset({ADMIN}))


class Tokens:
    """The tokens that are valid, and whose they are; it never shows them."""

    is_local = False
    challenge = "Bearer"

    def __init__(self, tokens: Mapping[str, Caller]) -> None:
        self._callers = {token.encode(): caller for token, caller in tokens.items()}

    def find(self, token: str) -> Caller | None:
        """Return whose ``token`` is, in a time that says nothing about how nearly it is one."""
        offered = token.encode(errors="surrogateescape")
        matches = [caller for known, caller in self._callers.items() if hmac.compare_digest(offered, known)]
        return matches[0] if matches else None

    async def caller(self, token: str | None, project: str | None) -> Caller:
        found = self.find(token.strip()) if token else None
        if found is None:
            raise Unauthorized("the token is not one of those in the token file")
        return found
