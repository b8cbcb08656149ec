from __future__ import annotations

import pytest

from targets import errors
from targets.s3.documents import read_refusal
from targets.s3.errors import Refusal, error_of


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (503, "SlowDown", errors.Throttled),
        (503, "", errors.Throttled),
        (429, "", errors.Throttled),
        (500, "InternalError", errors.Unavailable),
        (504, "", errors.Unavailable),
        (400, "RequestTimeout", errors.Unavailable),
        (400, "BadDigest", errors.Retryable),
        (409, "", errors.Retryable),
        (404, "NoSuchKey", errors.ObjectNotFound),
        (404, "NoSuchBucket", errors.TargetGone),
        (404, "", errors.Final),
        (412, "", errors.ObjectExists),
        (403, "", errors.PermissionDenied),
        (400, "ExpiredToken", errors.PermissionDenied),
        (400, "EntityTooLarge", errors.QuotaExceeded),
        (403, "QuotaExceeded", errors.QuotaExceeded),
        (507, "", errors.QuotaExceeded),
        (501, "", errors.Unsupported),
        (301, "", errors.Misconfigured),
        (400, "InvalidRequest", errors.Misconfigured),
        (418, "Teapot", errors.Final),
    ],
)
def test_each_refusal_has_its_error(status: int, code: str, error: type[errors.TargetError]) -> None:
    assert type(error_of("put key", Refusal(status=status, code=code))) is error


def test_wrong_region_names_the_right_one() -> None:
    refusal = read_refusal(
        400, b"<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region><Message>m</Message></Error>"
    )
    assert "set option region to that" in str(error_of("put key", refusal))
    assert "eu-west-3" in str(error_of("put key", refusal))


def test_what_was_signed_is_not_repeated() -> None:
    text = b"<Error><Code>SignatureDoesNotMatch</Code><StringToSign>never-shown</StringToSign></Error>"
    assert "never-shown" not in str(error_of("put key", read_refusal(403, text)))


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"<html><body>gateway", b"not xml"])
def test_refusal_that_is_no_document_is_told_by_its_status(text: bytes) -> None:
    assert type(error_of("put key", read_refusal(502, text))) is errors.Unavailable


def test_long_message_of_many_lines_becomes_a_short_line() -> None:
    error = str(error_of("put key", Refusal(status=500, message="a\nb\x1b[31m" + "c" * 1000)))
    assert "a b [31m" in error
    assert len(error) < 300
