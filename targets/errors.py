"""Every error that this package raises.

TargetError
├── Retryable             the same request may succeed later; wrappers/retry.py decides
│   ├── Throttled         the target asks for fewer requests
│   ├── Unavailable       the target, the network or the medium failed
│   └── TimedOut          no answer within the deadline; the request may still have been carried out
└── Final                 the same request will fail again
    ├── ObjectNotFound    no object has this key
    ├── ObjectExists      the key is taken, and the object was to be stored only if it is not
    ├── ShortRead         the object ends before the range that was asked for
    ├── InvalidKey        the key is not one that every target can store
    ├── PermissionDenied  the credentials or the file permissions refuse
    ├── QuotaExceeded     no space is left, or a quota or size limit is reached
    ├── TargetReadOnly    the target takes no writes at present
    ├── TargetGone        the whole target vanished; nothing can be said about its objects
    ├── Unsupported       the target can never do what was asked of it
    └── Misconfigured     the configuration of the target is wrong
"""

from __future__ import annotations


class TargetError(Exception):
    """The root of all errors of this package; ``code`` is stable, ``target`` names the target where it is known."""

    code = "target"
    target: str | None = None


class Retryable(TargetError):
    """The same request may succeed later."""

    code = "target.retryable"


class Throttled(Retryable):
    """The target asks for fewer requests."""

    code = "target.throttled"


class Unavailable(Retryable):
    """The target, the network or the medium failed."""

    code = "target.unavailable"


class TimedOut(Retryable):
    """There was no answer within the deadline; the request may still have been carried out."""

    code = "target.timed_out"


class Final(TargetError):
    """The same request will fail again."""

    code = "target.final"


class ObjectNotFound(Final):
    """No object has this key."""

    code = "target.object_not_found"


class ObjectExists(Final):
    """The key is taken, and the object was to be stored only if it is not."""

    code = "target.object_exists"


class ShortRead(Final):
    """The object ends before the range that was asked for."""

    code = "target.short_read"


class InvalidKey(Final):
    """The key is not one that every target can store."""

    code = "target.invalid_key"


class PermissionDenied(Final):
    """The credentials or the file permissions refuse."""

    code = "target.permission_denied"


class QuotaExceeded(Final):
    """No space is left, or a quota or size limit is reached."""

    code = "target.quota_exceeded"


class TargetReadOnly(Final):
    """The target takes no writes at present."""

    code = "target.read_only"


class TargetGone(Final):
    """The whole target vanished; nothing can be said about its objects."""

    code = "target.gone"


class Unsupported(Final):
    """The target can never do what was asked of it; its capabilities say so."""

    code = "target.unsupported"


class Misconfigured(Final):
    """The configuration of the target is wrong; the message names what."""

    code = "target.misconfigured"
