from __future__ import annotations

import pytest

from targets.errors import (
    Final,
    Misconfigured,
    ObjectExists,
    PermissionDenied,
    QuotaExceeded,
    Retryable,
    TargetGone,
    Throttled,
    Unavailable,
)
from targets.swift.answers import meaning, reason


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Unavailable) for status in (408, 409, 422, 499, 500, 502, 503, 504, 529, 599)),
        *((status, Throttled) for status in (429, 498)),
        *((status, PermissionDenied) for status in (401, 403)),
        *((status, QuotaExceeded) for status in (413, 507)),
        *((status, Misconfigured) for status in (300, 301, 302, 307)),
        *((410, TargetGone), (412, ObjectExists), (400, Final), (418, Final)),
    ],
)
def test_status_means_one_error(status: int, kind: type[Exception]) -> None:
    assert meaning(status) is kind


def test_no_refusal_of_the_server_is_tried_again() -> None:
    assert not [status for status in (400, 401, 403, 404, 405, 411, 412, 413) if issubclass(meaning(status), Retryable)]


def test_statuses_of_swift_alone_have_words() -> None:
    assert (reason(498), reason(503), reason(799)) == ("Rate limited", "Service Unavailable", "unknown")
