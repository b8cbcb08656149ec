from __future__ import annotations

import errno

import pytest

from targets.errors import (
    InvalidKey,
    Misconfigured,
    ObjectNotFound,
    PermissionDenied,
    QuotaExceeded,
    TargetError,
    TimedOut,
    Unavailable,
)
from targets.rados.failures import connection_failure, failure


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOENT, ObjectNotFound),
        (errno.ENOSPC, QuotaExceeded),
        (errno.EDQUOT, QuotaExceeded),
        (errno.EMSGSIZE, QuotaExceeded),
        (errno.EPERM, PermissionDenied),
        (errno.ENAMETOOLONG, InvalidKey),
        (errno.ETIMEDOUT, TimedOut),
        (errno.EIO, Unavailable),
    ],
)
def test_error_of_a_request_has_its_kind_and_says_what_was_done(code: int, kind: type[TargetError]) -> None:
    error = failure(-code, "put key")
    assert type(error) is kind
    assert str(error).startswith("put key: ")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOENT, Misconfigured),
        (errno.EACCES, PermissionDenied),
        (errno.ETIMEDOUT, TimedOut),
        (errno.ECONNREFUSED, Unavailable),
    ],
)
def test_object_is_never_what_a_connection_lacks(code: int, kind: type[TargetError]) -> None:
    assert type(connection_failure(-code, "connecting")) is kind
