"""What the errors of librados mean."""

from __future__ import annotations

import errno
import os

from targets.errors import (
    InvalidKey,
    Misconfigured,
    ObjectExists,
    ObjectNotFound,
    PermissionDenied,
    QuotaExceeded,
    TargetError,
    TargetReadOnly,
    TimedOut,
    Unavailable,
    Unsupported,
)

# What a request says when the object is not (or no longer) the one that it was meant for.
CHANGED = (-errno.ERANGE, -errno.EOVERFLOW, -errno.ECANCELED)

_OF_A_REQUEST: dict[int, type[TargetError]] = {
    errno.ENOENT: ObjectNotFound,  # Once it is known that the pool is there.
    errno.EEXIST: ObjectExists,
    errno.ENOSPC: QuotaExceeded,
    errno.EDQUOT: QuotaExceeded,
    errno.EFBIG: QuotaExceeded,  # osd_max_object_size
    errno.EMSGSIZE: QuotaExceeded,  # osd_max_write_size
    errno.EPERM: PermissionDenied,
    errno.EACCES: PermissionDenied,
    errno.EROFS: TargetReadOnly,
    errno.ENAMETOOLONG: InvalidKey,  # osd_max_object_name_len may be less than its default.
    errno.EOPNOTSUPP: Unsupported,
    errno.ETIMEDOUT: TimedOut,
}
_HINTS: dict[int, str] = {
    errno.EFBIG: "\nHINT: option part_bytes must not exceed the cluster's osd_max_object_size",
    errno.EMSGSIZE: "\nHINT: option part_bytes must not exceed the cluster's osd_max_write_size",
    errno.ESHUTDOWN: "\nHINT: the cluster has blocklisted this client; it ends with a restart",
}
_OF_A_CONNECTION: dict[int, type[TargetError]] = {
    errno.ENOENT: Misconfigured,  # No keyring.
    errno.EINVAL: Misconfigured,
    errno.EPERM: PermissionDenied,
    errno.EACCES: PermissionDenied,
    errno.EOPNOTSUPP: PermissionDenied,  # The cluster wants cephx, and we have no key for it.
    errno.ETIMEDOUT: TimedOut,
}


def failure(result: int, doing: str) -> TargetError:
    """Return the error for the negative ``result`` of a request; its message starts with ``doing``."""
    # What is not in the table (EIO, ESHUTDOWN, ENOTCONN, ...) may pass, and retries are bounded.
    kind = _OF_A_REQUEST.get(-result, Unavailable)
    return kind(f"{doing}: {_told(result)}{_HINTS.get(-result, '')}")


def connection_failure(result: int, doing: str) -> TargetError:
    """Return the error for the negative ``result`` of connecting."""
    return _OF_A_CONNECTION.get(-result, Unavailable)(f"{doing}: {_told(result)}")


def _told(result: int) -> str:
    if result == -errno.ETIMEDOUT:
        return "no answer in time"
    return os.strerror(-result).lower()
