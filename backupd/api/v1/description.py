"""What each handler takes and answers, written beside it; the OpenAPI document is made of this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_DESCRIPTIONS: dict[Handler, Description] = {}


@dataclass(frozen=True, slots=True)
class Description:
    """``takes``: the dataclass of the body. ``query``: the parameters. ``is_list``: the answer is an array."""

    takes: type | None = None
    status: int = 200
    query: tuple[str, ...] = ()
    is_list: bool = False
    is_body_needed: bool = True


def described(
    takes: type | None = None,
    *,
    status: int = 200,
    query: tuple[str, ...] = (),
    is_list: bool = False,
    is_body_needed: bool = True,
) -> Callable[[Handler], Handler]:
    """Describe a handler."""

    def describe(handler: Handler) -> Handler:
        _DESCRIPTIONS[handler] = Description(takes, status, query, is_list, is_body_needed)
        return handler

    return describe


def description_of(handler: Handler) -> Description:
    """Return what was written beside a handler; one without anything takes nothing and answers with an object."""
    return _DESCRIPTIONS.get(handler, Description())
