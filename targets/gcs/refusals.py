"""Statuses and reasons of the JSON API -> the errors of targets. The one table of this driver; pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from targets.errors import (
    Final,
    Misconfigured,
    ObjectExists,
    PermissionDenied,
    QuotaExceeded,
    TargetError,
    Throttled,
    TimedOut,
    Unavailable,
    Unsupported,
)

_MESSAGE_LENGTH_MAX = 300

_BY_REASON: dict[str, type[TargetError]] = {
    "rateLimitExceeded": Throttled,
    "userRateLimitExceeded": Throttled,
    "usageLimits.rateLimitExceeded": Throttled,
    "quotaExceeded": QuotaExceeded,
    "dailyLimitExceeded": QuotaExceeded,
    "uploadTooLarge": QuotaExceeded,
    "userProjectMissing": Misconfigured,
    "userProjectInvalid": Misconfigured,
    "userProjectInconsistent": Misconfigured,
    "authenticationRequiredRequesterPays": Misconfigured,
    "cloudKmsBadKey": Misconfigured,
    "cloudKmsKeyLocationNotAllowed": Misconfigured,
    "cloudKmsEncryptionKeyNotFound": Misconfigured,
    "cloudKmsDisabledKey": PermissionDenied,
    "cloudKmsDecryptionKeyNotFound": PermissionDenied,
    "orgPolicyConstraintFailed": PermissionDenied,
    "uploadBrokenConnection": Unavailable,
}
_BY_STATUS: dict[int, type[TargetError]] = {
    401: PermissionDenied,
    403: PermissionDenied,
    408: TimedOut,
    409: Unavailable,  # In conflict with another request of the same moment.
    412: PermissionDenied,  # Of a policy; what the answer to our own precondition is, see below.
    413: QuotaExceeded,
    429: Throttled,
    501: Unsupported,
    504: TimedOut,
    507: QuotaExceeded,  # Of a store that only speaks the protocol.
}
# What the service says about a body that does not have the checksum which was sent with it.
_GARBLED = ("crc32c", "checksum", "md5")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an answer that is no success says."""

    status: int
    reason: str
    message: str


def read_refusal(status: int, body: bytes) -> Refusal:
    """Return what the body says; it may be JSON, or plain text where the content of an object was expected."""
    text = body.decode(errors="replace")
    reason, message = "", text
    try:
        error = json.loads(text)["error"]
        reason, message = str(error["errors"][0]["reason"]), str(error["message"])
    except (ValueError, LookupError, TypeError):
        pass  # Plain text, or of a server between us and the service.
    return Refusal(status, reason, " ".join(message.split())[:_MESSAGE_LENGTH_MAX])


def refused(doing: str, refusal: Refusal, *, if_absent: bool = False) -> TargetError:
    """Return the error for what the service refused; 404 is for the caller to tell.

    ``if_absent``: a precondition was sent. Where content was asked for, refusals tell no reason.
    """
    said = f"{doing}: the service answered {refusal.status}"
    said += f" {refusal.reason}" if refusal.reason else ""
    said += f": {refusal.message}" if refusal.message else ""
    if refusal.status == 400 and any(word in refusal.message.lower() for word in _GARBLED):
        return Unavailable(f"{said} (it arrived garbled)")
    if refusal.status in (301, 302, 307, 308):
        return Misconfigured(f"{said}, a redirection: option endpoint is not that of the service")
    if refusal.status == 412 and if_absent and refusal.reason not in _BY_REASON:
        return ObjectExists(said)
    kind = _BY_REASON.get(refusal.reason) or _BY_STATUS.get(refusal.status)
    return (kind or (Unavailable if refusal.status >= 500 else Final))(said)
