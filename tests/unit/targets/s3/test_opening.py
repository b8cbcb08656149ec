from __future__ import annotations

from pathlib import Path

import pytest

from targets.errors import Misconfigured
from targets.open import open_target
from targets.s3 import Place, S3Options, S3Target
from tests.support.buckets import write_keys


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("s3://", "bucket ''"),
        ("s3://ab", "bucket 'ab'"),
        ("s3://bu cket", "bucket 'bu cket'"),
        ("s3://bucket:80", "bucket 'bucket:80'"),
        ("s3://bucket/a//b", "prefix 'a//b'"),
        ("s3://bucket/../b", r"prefix '\.\./b'"),
        ("s3://bucket/a%00b", "prefix"),
        ("s3://bucket/" + "a" * 512, "prefix of 512 characters"),
    ],
)
def test_wrong_url_is_told(url: str, named: str) -> None:
    with pytest.raises(Misconfigured, match=named):
        open_target(url, endpoint="http://127.0.0.1:1")


def test_missing_region_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "absent"))
    with pytest.raises(Misconfigured, match="option region"):
        open_target("s3://bucket", credentials_file=str(write_keys(tmp_path, ("access", "secret"))))


def test_missing_file_of_credentials_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"option credentials_file: .*/absent: No such file"):
        open_target("s3://bucket", endpoint="http://127.0.0.1:1", credentials_file=str(tmp_path / "absent"))


def test_missing_profile_is_told(tmp_path: Path) -> None:
    file = write_keys(tmp_path, ("access", "secret"))
    with pytest.raises(Misconfigured, match=r"option profile.*absent"):
        open_target("s3://bucket", credentials_file=str(file), profile="absent")


async def test_aws_finds_the_bucket_in_the_host(tmp_path: Path) -> None:
    file = write_keys(tmp_path, ("access", "secret"))
    target = S3Target(Place.of("bucket", "/prefix"), S3Options(credentials_file=str(file), region="eu-central-1"))
    assert str(target._wire.urls.object("key")) == "https://bucket.s3.eu-central-1.amazonaws.com/prefix/key"
    await target.aclose()
