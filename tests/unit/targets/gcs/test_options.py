from __future__ import annotations

from typing import Any

import pytest

from targets.errors import Misconfigured
from targets.gcs import GcsOptions
from targets.open import open_target


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"endpoint": "http://storage.example.net"}, "endpoint: 'http://storage.example.net', expected https"),
        ({"endpoint": "storage.example.net"}, "endpoint: 'storage.example.net', expected such as https"),
        ({"endpoint": "https://storage.example.net/path"}, "endpoint: 'https://storage.example.net/path'"),
        ({"endpoint": "https://:port"}, "endpoint"),
        ({"storage_class": "standard"}, "storage_class: 'standard', expected one of STANDARD, NEARLINE"),
        ({"connections_max": 0}, "connections_max: 0, expected 1 to 1024"),
        ({"kms_key_name": "key"}, "kms_key_name: 'key', expected projects/P/locations/L"),
        ({"user_project": "a b"}, "user_project: 'a b'"),
        ({"create_bucket": True}, "create_bucket: true, expected the options project and location"),
        ({"create_bucket": True, "project": "p"}, "create_bucket: true, expected the options project and location"),
        ({"anonymous": True, "credentials_file": "/key.json"}, "credentials_file: given, expected none"),
    ],
)
def test_option_that_makes_no_sense_is_named(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(Misconfigured, match=f"option {expected}"):
        GcsOptions(**options)


def test_password_in_an_endpoint_is_refused_and_not_repeated() -> None:
    with pytest.raises(Misconfigured, match="option endpoint") as caught:
        GcsOptions(endpoint="https://user:hunter2@storage.example.net")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:4443", "http://[::1]:4443", "http://localhost", "https://a.b/"])
def test_token_may_go_to_this_machine_or_be_encrypted(endpoint: str) -> None:
    assert GcsOptions(endpoint=endpoint).endpoint == endpoint


def test_anonymous_requests_may_go_anywhere() -> None:
    assert GcsOptions(endpoint="http://emulator.test:4443", anonymous=True).anonymous


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("gs://", "bucket ''"),
        ("gs:bucket", "bucket ''"),
        ("gs://ab", "bucket 'ab', expected 3 to 222"),
        ("gs://Bucket", "bucket 'Bucket'"),
        ("gs://bucket:80", "bucket 'bucket:80'"),
        ("gs://bucket/a//b", "prefix 'a//b/'"),
        ("gs://bucket/../b", "prefix '../b/'"),
        ("gs://bucket/A", "prefix 'A/'"),
    ],
)
def test_url_that_names_no_bucket_and_prefix_is_refused(url: str, expected: str) -> None:
    with pytest.raises(Misconfigured, match=f"target url: {expected}"):
        open_target(url, anonymous=True)


def test_certificates_that_cannot_be_read_are_named() -> None:
    with pytest.raises(Misconfigured, match=r"option ca_file: /missing\.pem"):
        open_target("gs://bucket", anonymous=True, ca_file="/missing.pem")


def test_other_servers_than_the_service_may_lack_something() -> None:
    assert open_target("gs://bucket", anonymous=True, endpoint="http://127.0.0.1:1").capabilities.servers_differ
    assert not open_target("gs://bucket", anonymous=True).capabilities.servers_differ
