from __future__ import annotations

import pytest

from targets.s3.place import Place, Urls, may_be_virtual


@pytest.mark.parametrize(
    ("endpoint", "virtual", "bucket", "object_"),
    [
        ("http://127.0.0.1:8333", False, "http://127.0.0.1:8333/bucket", "http://127.0.0.1:8333/bucket/a%20b/key"),
        ("https://s3.example.net/", False, "https://s3.example.net/bucket", "https://s3.example.net/bucket/a%20b/key"),
        ("https://s3.example.net", True, "https://bucket.s3.example.net/", "https://bucket.s3.example.net/a%20b/key"),
        ("http://rgw:7480", True, "http://bucket.rgw:7480/", "http://bucket.rgw:7480/a%20b/key"),
    ],
)
def test_bucket_is_in_the_path_or_in_the_host(endpoint: str, virtual: bool, bucket: str, object_: str) -> None:
    urls = Urls(endpoint, Place.of("bucket", "/a%20b/"), virtual=virtual)
    assert str(urls.bucket()) == bucket
    assert str(urls.object("key")) == object_


def test_host_that_is_signed_is_the_one_that_is_asked() -> None:
    url = Urls("https://s3.example.net:443", Place.of("bucket", ""), virtual=True).object("key")
    assert (url.host_port_subcomponent, url.raw_path) == ("bucket.s3.example.net", "/key")


def test_query_is_sorted_and_quoted() -> None:
    urls = Urls("http://host", Place.of("bucket", ""), virtual=False)
    assert urls.bucket({"prefix": "a/b c+~", "list-type": "2"}).raw_query_string == "list-type=2&prefix=a%2Fb%20c%2B~"


@pytest.mark.parametrize(
    ("bucket", "may"), [("bucket-1", True), ("my.bucket", False), ("my_bucket", False), ("Bucket", False)]
)
def test_name_that_is_no_label_of_a_host_stays_in_the_path(bucket: str, may: bool) -> None:
    assert may_be_virtual(bucket) is may
