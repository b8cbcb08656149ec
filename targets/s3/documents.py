"""The XML of S3: what is sent, and what comes back. Pure.

Names are matched in any namespace: stores disagree about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from targets.errors import Unavailable
from targets.s3.errors import Refusal

_ROOT_BYTES_MAX = 256  # Within these a document's first element begins.
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a listing, by its whole name in the bucket; ``version`` only where versions are listed."""

    name: str
    size_bytes: int = 0
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; ``next`` is the query for the one behind it, None at the end."""

    objects: Sequence[Listed]
    next: dict[str, str] | None


def read_page(text: bytes) -> Page:
    """Read the answer to ListObjectsV2. Unavailable if it is none."""
    root = _root(text, "ListBucketResult")
    objects = [
        Listed(unquote(_text(found, "Key")), int(_text(found, "Size") or "0")) for found in root.iterfind("{*}Contents")
    ]
    if _text(root, "IsTruncated") != "true":
        return Page(objects, None)
    if not (token := _text(root, "NextContinuationToken")):
        raise Unavailable("the listing says that it goes on, and not from where")
    return Page(objects, {"continuation-token": token})


def read_versions(text: bytes) -> Page:
    """Read the answer to ListObjectVersions: versions and delete markers, newest first."""
    root = _root(text, "ListVersionsResult")
    objects = [
        Listed(unquote(_text(found, "Key")), version=_text(found, "VersionId"))
        for found in root
        if _name(found) in ("Version", "DeleteMarker")
    ]
    if _text(root, "IsTruncated") != "true":
        return Page(objects, None)
    following = {
        "key-marker": unquote(_text(root, "NextKeyMarker")),
        "version-id-marker": _text(root, "NextVersionIdMarker"),
    }
    return Page(objects, {name: value for name, value in following.items() if value})


def write_delete(objects: Iterable[Listed]) -> bytes:
    """Return the body of DeleteObjects, which shall answer only what went wrong."""
    items = "".join([f"<Object><Key>{escape(o.name)}</Key>{_version(o)}</Object>" for o in objects])
    return f'<Delete xmlns="{_NAMESPACE}"><Quiet>true</Quiet>{items}</Delete>'.encode()


def read_delete(text: bytes) -> list[tuple[str, Refusal]]:
    """Return (name, refusal) for each object that DeleteObjects did not remove."""
    return [
        (_text(found, "Key"), Refusal(status=200, code=_text(found, "Code"), message=_text(found, "Message")))
        for found in _root(text, "DeleteResult", "DeleteObjectsResult").iterfind("{*}Error")
    ]


def read_upload_id(text: bytes) -> str:
    """Return the id that CreateMultipartUpload answered."""
    if not (upload := _text(_root(text, "InitiateMultipartUploadResult"), "UploadId")):
        raise Unavailable("the upload has no id")
    return upload


def read_uploads(text: bytes) -> tuple[list[tuple[str, str]], dict[str, str] | None]:
    """Read the answer to ListMultipartUploads: (name, id) of each, and the query for the next page."""
    root = _root(text, "ListMultipartUploadsResult", "ListMultipartUploadsOutput")
    found = [(unquote(_text(one, "Key")), _text(one, "UploadId")) for one in root.iterfind("{*}Upload")]
    if _text(root, "IsTruncated") != "true":
        return found, None
    following = {
        "key-marker": unquote(_text(root, "NextKeyMarker")),
        "upload-id-marker": _text(root, "NextUploadIdMarker"),
    }
    return found, {name: value for name, value in following.items() if value} or None


def write_complete(parts: Sequence[dict[str, str]]) -> bytes:
    """Return the body of CompleteMultipartUpload; each part has its number and what the store said of it."""
    items = "".join(
        ["<Part>" + "".join(f"<{n}>{escape(v)}</{n}>" for n, v in part.items()) + "</Part>" for part in parts]
    )
    return f'<CompleteMultipartUpload xmlns="{_NAMESPACE}">{items}</CompleteMultipartUpload>'.encode()


def write_retention(mode: str, until: str) -> bytes:
    """Return the body of PutObjectRetention."""
    items = f"<Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate>"
    return f'<Retention xmlns="{_NAMESPACE}">{items}</Retention>'.encode()


def read_refusal(status: int, text: bytes, *, region: str = "") -> Refusal:
    """Return what an error says; only code and message, since others repeat what was signed. Never fails."""
    try:
        root = _parsed(text)
    except ET.ParseError:
        return Refusal(status=status, region=region)
    return Refusal(
        status=status,
        code=_text(root, "Code"),
        message=_text(root, "Message"),
        region=region or _text(root, "Region"),
    )


def is_error(text: bytes) -> bool:
    """Tell whether an answer of status 200 is an error after all, as that to a long operation may be."""
    if b"<Error" not in text[:_ROOT_BYTES_MAX]:  # Most answers are long, and none is parsed twice for nothing.
        return False
    try:
        return _name(_parsed(text)) == "Error"
    except ET.ParseError:
        return False


def _root(text: bytes, *names: str) -> ET.Element:
    try:
        root = _parsed(text)
    except ET.ParseError as error:
        raise Unavailable(f"expected {names[0]}, got what is no XML: {error}") from error
    if _name(root) not in names:
        raise Unavailable(f"expected {names[0]}, got {_name(root)[:50]}: is there an S3 store at this endpoint?")
    return root


def _parsed(text: bytes) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - expat limits what entities may expand to, and loads none from elsewhere


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ET.Element, name: str) -> str:
    return (element.findtext(f"{{*}}{name}") or "").strip()


def _version(listed: Listed) -> str:
    return "" if listed.version is None else f"<VersionId>{escape(listed.version)}</VersionId>"
