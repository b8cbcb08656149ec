from __future__ import annotations

import pytest

from targets.errors import Unavailable
from targets.s3.documents import Listed, read_delete, read_page, read_upload_id, read_versions, write_delete


@pytest.mark.parametrize("namespace", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'])
def test_page_is_read_in_any_namespace(namespace: str) -> None:
    page = read_page(
        f"<ListBucketResult{namespace}><IsTruncated>true</IsTruncated><NextContinuationToken>a+b=</NextContinuationToken>"
        "<Contents><Key>a%20b/c</Key><Size>7</Size></Contents></ListBucketResult>".encode()
    )
    assert page.objects == [Listed("a b/c", 7)]
    assert page.next == {"continuation-token": "a+b="}


def test_versions_and_markers_are_read_in_their_order() -> None:
    page = read_versions(
        b"<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>"
        b"<NextVersionIdMarker>2</NextVersionIdMarker>"
        b"<DeleteMarker><Key>k</Key><VersionId>3</VersionId></DeleteMarker>"
        b"<Version><Key>k</Key><VersionId>2</VersionId></Version></ListVersionsResult>"
    )
    assert page.objects == [Listed("k", version="3"), Listed("k", version="2")]
    assert page.next == {"key-marker": "k", "version-id-marker": "2"}


@pytest.mark.parametrize(
    "text", [b"", b"<html/>", b"{}", b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"]
)
def test_listing_that_is_none_or_cannot_go_on_is_never_taken_for_its_end(text: bytes) -> None:
    with pytest.raises(Unavailable):
        read_page(text)


def test_upload_without_an_id_is_none() -> None:
    with pytest.raises(Unavailable):
        read_upload_id(b"<InitiateMultipartUploadResult/>")


def test_what_was_not_deleted_is_read() -> None:
    ((name, refusal),) = read_delete(
        b"<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    )
    assert (name, refusal.code, refusal.message) == ("a", "AccessDenied", "no")


def test_names_are_escaped() -> None:
    assert b"<Key>a&amp;&lt;b</Key><VersionId>1</VersionId>" in write_delete([Listed("a&<b", version="1")])


def test_entities_do_not_explode() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x" * 100}">' for n in range(10))
    with pytest.raises(Unavailable):
        read_page(f"<!DOCTYPE r [{entities}]><ListBucketResult>&e9;</ListBucketResult>".encode())
