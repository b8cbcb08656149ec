from __future__ import annotations

import json
from typing import Any

import pytest

from targets.errors import PermissionDenied, Unavailable
from targets.swift.bulk import outcome, request_body


def answer(status: str = "200 OK", absent: int = 0, errors: tuple[tuple[str, str], ...] = ()) -> bytes:
    told: dict[str, Any] = {"Response Status": status, "Number Not Found": absent, "Number Deleted": 1}
    return b"  \r\n\r\n" + json.dumps({**told, "Errors": errors, "Response Body": ""}).encode()


def error_of(text: bytes) -> Exception | None:
    found = outcome(text)
    assert found is not None
    return found.error()


def test_names_stand_below_their_container() -> None:
    assert request_body("/c%20d", ["p/a", "p/b"]) == b"/c%20d/p/a\n/c%20d/p/b"


def test_success_is_no_error_and_tells_what_was_absent() -> None:
    found = outcome(answer(absent=3))
    assert found is not None
    assert (found.error(), found.absent, found.is_refused) == (None, 3, False)


def test_failure_of_some_is_an_error_though_the_status_was_200() -> None:
    failed = error_of(answer("502 Bad Gateway", errors=(("/c/a", "503 Service Unavailable"),)))
    assert isinstance(failed, Unavailable)
    assert "/c/a: 503, 1 failed" in str(failed)


def test_failure_for_good_is_told_before_one_that_may_pass() -> None:
    errors = (("/c/a", "503 Service Unavailable"), ("/c/b", "403 Forbidden"))
    assert isinstance(error_of(answer("502 Bad Gateway", errors=errors)), PermissionDenied)


def test_failure_of_the_request_itself_is_an_error() -> None:
    assert isinstance(error_of(answer("500 Internal Error")), Unavailable)


@pytest.mark.parametrize(
    "text", [answer("401 Unauthorized"), answer("400 Bad Request", errors=(("/c/a", "401 Unauthorized"),))]
)
def test_refused_token_is_seen(text: bytes) -> None:
    found = outcome(text)
    assert found is not None
    assert found.is_refused


@pytest.mark.parametrize("text", [b"", b" \r\n"])
def test_answer_without_a_body_is_that_of_a_cluster_that_cannot_do_this(text: bytes) -> None:
    assert outcome(text) is None


@pytest.mark.parametrize(
    "text", [b"  {", b"[]", b"{}", b'{"Response Status": "", "Number Not Found": 0, "Errors": []}']
)
def test_garbled_answer_is_unavailable(text: bytes) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        outcome(text)
