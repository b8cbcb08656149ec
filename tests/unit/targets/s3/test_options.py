from __future__ import annotations

from typing import Any

import pytest

from targets.errors import Misconfigured
from targets.options import read_options
from targets.s3 import S3Options


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("endpoint", "s3.example.net"),
        ("endpoint", "ftp://host"),
        ("endpoint", "https://host/path"),
        ("endpoint", "https://host:port"),
        ("endpoint", ""),
        ("region", "eu west"),
        ("addressing", "Path"),
        ("connections_max", 0),
        ("multipart_above_bytes", 1),
        ("multipart_above_bytes", 6 * 2**30),
        ("part_bytes", 5 * 2**20 - 1),
        ("checksum", "sha1"),
        ("sse", "aes"),
        ("storage_class", "line\nbreak"),
        ("object_lock_mode", "governance"),
        ("object_lock_retain_days", 0),
        ("sse_kms_key_id", "key\r\nx-amz-acl: public-read"),
    ],
)
def test_wrong_value_is_named(option: str, value: Any) -> None:
    with pytest.raises(Misconfigured, match=f"option {option}: .*expected"):
        read_options("s3", S3Options, {option: value})


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"sse_kms_key_id": "key"}, "sse_kms_key_id"),
        ({"sse_kms_key_id": "key", "sse": "AES256"}, "sse_kms_key_id"),
        ({"object_lock_mode": "GOVERNANCE"}, "object_lock_mode"),
        ({"object_lock_retain_days": 1}, "object_lock_mode"),
        ({"object_lock_mode": "GOVERNANCE", "object_lock_retain_days": 1, "checksum": "none"}, "checksum"),
        ({"endpoint": "http://127.0.0.1:1", "addressing": "virtual"}, "addressing"),
        ({"endpoint": "http://[::1]:1", "addressing": "virtual"}, "addressing"),
    ],
)
def test_options_that_do_not_go_together_are_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(Misconfigured, match=f"option {named}: .*expected"):
        S3Options(**given)


def test_password_in_an_endpoint_is_refused_and_not_shown() -> None:
    with pytest.raises(Misconfigured, match="option endpoint") as caught:
        S3Options(endpoint="https://user:never-shown@host")
    assert "never-shown" not in str(caught.value)
