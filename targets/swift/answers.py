"""What the statuses of Swift and Keystone mean."""

from __future__ import annotations

import re
from http import HTTPStatus

import aiohttp

from targets.errors import (
    Final,
    Misconfigured,
    ObjectExists,
    ObjectNotFound,
    PermissionDenied,
    QuotaExceeded,
    TargetError,
    TargetGone,
    Throttled,
    Unavailable,
    Unsupported,
)

_MEANINGS: dict[int, type[TargetError]] = {
    400: Final,
    401: PermissionDenied,  # Once the session has logged in anew.
    403: PermissionDenied,
    404: ObjectNotFound,  # Once it is known that the container is there.
    405: Unsupported,
    408: Unavailable,  # We sent too slowly.
    409: Unavailable,  # Another write of the same name was under way (radosgw).
    410: TargetGone,  # The account was deleted.
    412: ObjectExists,
    413: QuotaExceeded,  # max_file_size, or the quota of the container or account.
    416: Final,
    422: Unavailable,  # What arrived is not what was sent; nothing is stored.
    429: Throttled,
    498: Throttled,  # Swift's ratelimit.
    499: Unavailable,  # The body broke off.
    501: Unsupported,
    507: QuotaExceeded,
}
_REASONS = {498: "Rate limited", 499: "Client disconnected"}  # These two are Swift's own.
_BODY_BYTES_MAX = 4096
_SHOWN_MAX = 200
_TAG = re.compile(r"<[^>]*>")


def meaning(status: int) -> type[TargetError]:
    """Return the error that a status stands for which is no success."""
    if status in _MEANINGS:
        return _MEANINGS[status]
    if status >= 500:
        return Unavailable
    return Misconfigured if 300 <= status < 400 else Final


async def failure(doing: str, response: aiohttp.ClientResponse) -> TargetError:
    """Return the error of an answer; ``doing`` begins its message. Reads the body, so the connection is kept."""
    said = await response.content.read(_BODY_BYTES_MAX)
    return meaning(response.status)(f"{doing}: {described(response, said)}")


def described(response: aiohttp.ClientResponse, said: bytes) -> str:
    """Return for people what an answer says: status, reason, body, and its number in the server's logs."""
    text = " ".join(_TAG.sub(" ", said.decode(errors="replace")).split())
    number = response.headers.get("X-Trans-Id") or response.headers.get("X-Openstack-Request-Id")
    return "".join(
        (
            f"{response.status} {response.reason or reason(response.status)}",
            f": {text[:_SHOWN_MAX]}" if text else "",
            f" ({number})" if number else "",
        )
    )


def reason(status: int) -> str:
    """Return the words for a status."""
    try:
        return _REASONS.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "unknown"
