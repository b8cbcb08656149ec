"""The one table from what an S3 store answers to the errors of this package. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from targets.errors import (
    Final,
    Misconfigured,
    ObjectExists,
    ObjectNotFound,
    PermissionDenied,
    QuotaExceeded,
    Retryable,
    TargetError,
    TargetGone,
    Throttled,
    TimedOut,
    Unavailable,
    Unsupported,
)

Kind = type[TargetError]

_CODES: Mapping[Kind, str] = {
    Throttled: "SlowDown SlowDownRead SlowDownWrite ServiceUnavailable TooManyRequests RequestLimitExceeded "
    "Throttling ThrottlingException KMS.ThrottlingException",
    Unavailable: "InternalError RequestTimeout TemporaryRedirect XMinioServerNotInitialized",
    # What arrived is not what was sent, somebody else was at it, or a new attempt begins a new upload.
    Retryable: "BadDigest IncompleteBody XAmzContentChecksumMismatch XAmzContentSHA256Mismatch "
    "ConditionalRequestConflict OperationAborted NoSuchUpload InvalidPart",
    ObjectNotFound: "NoSuchKey NoSuchVersion",
    TargetGone: "NoSuchBucket",
    ObjectExists: "PreconditionFailed",
    QuotaExceeded: "EntityTooLarge QuotaExceeded XMinioStorageFull InsufficientCapacity",
    PermissionDenied: "AccessDenied AllAccessDisabled AccountProblem NotSignedUp UserSuspended InvalidAccessKeyId "
    "SignatureDoesNotMatch ExpiredToken ExpiredTokenException InvalidToken TokenRefreshRequired RequestTimeTooSkewed "
    "ObjectLocked",
    Unsupported: "NotImplemented MethodNotAllowed",
    Misconfigured: "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException InvalidRegion "
    "InvalidBucketName InvalidStorageClass InvalidArgument InvalidRequest InvalidEncryptionAlgorithmError "
    "KMS.NotFoundException KMS.DisabledException KMS.KMSInvalidStateException "
    "ObjectLockConfigurationNotFoundError MissingContentMD5",
    Final: "InvalidObjectState",
}
_BY_CODE: Mapping[str, Kind] = {code: kind for kind, codes in _CODES.items() for code in codes.split()}
_BY_STATUS: Mapping[int, Kind] = {
    301: Misconfigured,
    307: Unavailable,
    401: PermissionDenied,
    403: PermissionDenied,
    408: TimedOut,
    409: Retryable,
    412: ObjectExists,
    413: QuotaExceeded,
    429: Throttled,
    501: Unsupported,
    503: Throttled,
    507: QuotaExceeded,
}
# By code, or by the kind of error where a store has given no code.
_HINTS: Mapping[str | Kind, str] = {
    "AccessDenied": "may these credentials do this? is the object locked? is the key for encryption theirs to use?",
    "InvalidAccessKeyId": "the store does not know this access key: another store, or a key that was removed?",
    "SignatureDoesNotMatch": "the secret key is not the one of this access key",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "ExpiredToken": "the credentials have run out and nothing newer was found where they come from",
    "NoSuchBucket": "the bucket does not exist; this daemon never makes one",
    "InvalidObjectState": "the object was archived by a lifecycle rule: restore it, and take the rule away",
    PermissionDenied: "are these the right credentials, and may they do this?",
}
_MESSAGE_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a store answered instead of doing it. ``region``: where the bucket is, if it says so."""

    status: int
    code: str = ""
    message: str = ""
    region: str = ""


def error_of(doing: str, refusal: Refusal) -> TargetError:
    """Return the error for ``refusal``; ``doing`` begins its message, which names no secret."""
    kind = _kind(refusal)
    hint = _HINTS.get(refusal.code) or _HINTS.get(kind, "")
    if kind is Misconfigured and refusal.region:
        hint = f"the bucket is in region {refusal.region}: set option region to that"
    said = shown(refusal.message) or "no reason given"
    answer = f"{refusal.code or 'error'} ({refusal.status}): {said}"
    return kind(f"{doing}: {answer}{f' [{hint}]' if hint else ''}")


def shown(text: str) -> str:
    """Return ``text`` of a store as one short line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _MESSAGE_LENGTH_MAX else f"{line[:_MESSAGE_LENGTH_MAX]}..."


def _kind(refusal: Refusal) -> Kind:
    if (kind := _BY_CODE.get(refusal.code) or _BY_STATUS.get(refusal.status)) is not None:
        return kind
    return Unavailable if refusal.status >= 500 else Final
