from __future__ import annotations

import json

import pytest

from targets.swift.cluster import OBJECT_SIZE_BYTES_MAX, Cluster, info_url


def told(**sections: object) -> Cluster:
    return Cluster.of(json.dumps(sections).encode())


def test_what_the_cluster_tells_is_taken() -> None:
    cluster = told(
        swift={"max_file_size": 1000, "container_listing_limit": 50}, bulk_delete={"max_deletes_per_request": 70}
    )
    assert cluster == Cluster(object_size_bytes_max=1000, listing_count_max=50, deletes_max=70)


def test_pages_and_deletions_are_bounded_whatever_it_takes() -> None:
    cluster = told(swift={"container_listing_limit": 10**6}, bulk_delete={"max_deletes_per_request": 10**6})
    assert (cluster.listing_count_max, cluster.deletes_max) == (1000, 1000)


@pytest.mark.parametrize("text", [b"", b"<html>", b"[]", b'{"swift": 1}', b'{"swift": {"max_file_size": "x"}}'])
def test_what_it_does_not_tell_is_as_everywhere(text: bytes) -> None:
    assert Cluster.of(text) == Cluster()
    assert Cluster().object_size_bytes_max == OBJECT_SIZE_BYTES_MAX


@pytest.mark.parametrize(
    ("storage_url", "expected"),
    [
        ("https://swift.example/v1/AUTH_1", "https://swift.example/info"),
        ("https://swift.example:8080/v1.0/AUTH_1", "https://swift.example:8080/info"),
        ("http://rgw.example/swift/v1", "http://rgw.example/swift/info"),
        ("http://rgw.example/swift/v1/AUTH_v1/x", "http://rgw.example/swift/info"),
        ("https://v1.example", "https://v1.example/info"),
    ],
)
def test_it_tells_beside_the_version(storage_url: str, expected: str) -> None:
    assert info_url(storage_url) == expected
