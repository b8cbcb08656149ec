"""What a login gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from targets.http.client import HttpClient


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Login:
    """A token, how long it is good for (None: unknown) and where the account is, without a slash at the end."""

    token: str = field(repr=False)
    life_s: float | None
    storage_url: str


class LogIn(Protocol):
    """One way to log in. PermissionDenied, Misconfigured and what every request may raise."""

    async def __call__(self, http: HttpClient) -> Login: ...
