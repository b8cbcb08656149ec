"""The SDK's own signer is the judge."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped] # it has no types
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped] # it has no types
from botocore.credentials import ReadOnlyCredentials  # type: ignore[import-untyped] # it has no types
from yarl import URL

from targets.s3.signing import Keys, signed

UNSIGNED_BODY = SimpleNamespace(s3={"payload_signing_enabled": False})


@pytest.mark.parametrize("token", [None, "token/of+a=session"])
@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("GET", "http://127.0.0.1:8333/bucket/key", {}),
        ("PUT", "https://bucket.s3.example.net/a%20b/%C3%B6/key", {"if-none-match": "*", "x-amz-acl": " a   b "}),
        ("GET", "https://s3.example.net:443/bucket?list-type=2&prefix=a%2Fb%20c", {"range": "bytes=0-1"}),
        ("POST", "http://host/bucket?delete=", {"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}),
    ],
)
def test_signature_is_that_of_the_sdk(method: str, url: str, headers: dict[str, str], token: str | None) -> None:
    judged = AWSRequest(method, url, headers=headers)
    judged.context["client_config"] = UNSIGNED_BODY
    S3SigV4Auth(ReadOnlyCredentials("access", "secret", token), "s3", "eu-west-1").add_auth(judged)
    at = datetime.strptime(judged.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = signed(
        method,
        URL(url, encoded=True),
        headers,
        keys=Keys(access_key="access", secret_key="secret", token=token),
        region="eu-west-1",
        now=at,
    )
    assert ours["authorization"] == judged.headers["Authorization"]


def test_keys_are_not_shown() -> None:
    shown = repr(Keys(access_key="access", secret_key="never-shown", token="nor-this"))
    assert re.search("never-shown|nor-this", shown) is None
