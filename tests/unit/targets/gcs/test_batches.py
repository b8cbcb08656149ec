from __future__ import annotations

import pytest

from targets.gcs.batches import decode_answers, encode_deletions

MIXED = "multipart/mixed; boundary=answers"


def part(status: int, *, told: str = "", body: str = "") -> str:
    return f"--answers\r\nContent-Type: application/http\r\n{told}\r\nHTTP/1.1 {status} X\r\nA: b\r\n\r\n{body}\r\n"


def answer(*parts: str) -> bytes:
    return "".join([*parts, "--answers--\r\n"]).encode()


def test_each_deletion_is_a_request_of_its_own() -> None:
    body = encode_deletions(["/storage/v1/b/b/o/a%2Fx", "/storage/v1/b/b/o/y"], "cut").decode()
    assert body.count("--cut\r\nContent-Type: application/http\r\n") == 2
    assert "Content-ID: <1>\r\n\r\nDELETE /storage/v1/b/b/o/y HTTP/1.1\r\n\r\n" in body
    assert body.endswith("--cut--\r\n")


def test_answers_in_any_order_find_their_requests() -> None:
    parts = [part(404, told="Content-ID: <response-1>\r\n"), part(204, told="Content-ID: <response-0>\r\n")]
    assert [status for status, _ in decode_answers(MIXED, answer(*parts), 2) or []] == [204, 404]


def test_answers_that_name_no_request_are_taken_in_their_order() -> None:
    assert [status for status, _ in decode_answers(MIXED, answer(part(204), part(403)), 2) or []] == [204, 403]


def test_refusal_comes_with_its_body() -> None:
    answers = decode_answers(MIXED, answer(part(403, body='{"error": 1}')), 1)
    assert answers is not None
    assert answers[0][1].strip() == b'{"error": 1}'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<html>"),
        (MIXED, b""),
        (MIXED, answer()),
        (MIXED, answer(part(204))),
        (MIXED, answer(part(204), part(204), part(204))),
        (MIXED, answer(part(204, told="Content-ID: <response-0>\r\n"), part(204, told="Content-ID: <response-0>\r\n"))),
        (MIXED, answer(part(204), "--answers\r\nContent-Type: text/plain\r\n\r\nno\r\n")),
    ],
)
def test_what_does_not_answer_every_request_is_no_answer(content_type: str, body: bytes) -> None:
    assert decode_answers(content_type, body, 2) is None
