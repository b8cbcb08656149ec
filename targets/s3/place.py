"""Where a bucket and its objects are: urls, quoted as signatures want them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from yarl import URL

from targets.errors import Misconfigured

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_HOST_LABELS = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
# An object's name may have 1024 bytes, and a key of ours 512.
_PREFIX_BYTES_MAX = 511


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A bucket and, in it, what all names begin with: ``prefix`` is empty or ends with a slash."""

    bucket: str
    prefix: str

    @classmethod
    def of(cls, bucket: str, path: str) -> Place:
        """Return the place that a url's parts name. Misconfigured."""
        if not _BUCKET.fullmatch(bucket):
            raise Misconfigured(f"target url: bucket {bucket!r}, expected 3 to 255 characters of a-z 0-9 . - _")
        prefix = unquote(path, errors="surrogateescape").strip("/")
        if not prefix:
            return cls(bucket=bucket, prefix="")
        if any(segment in ("", ".", "..") for segment in prefix.split("/")) or not prefix.isprintable():
            raise Misconfigured(f"target url: prefix {prefix!r}, expected printable names between single slashes")
        if len(prefix.encode()) > _PREFIX_BYTES_MAX:
            raise Misconfigured(f"target url: a prefix of {len(prefix)} characters, expected {_PREFIX_BYTES_MAX} bytes")
        return cls(bucket=bucket, prefix=f"{prefix}/")


class Urls:
    """The urls of a place at an endpoint; ``virtual`` puts the bucket into the host."""

    def __init__(self, endpoint: str, place: Place, *, virtual: bool) -> None:
        base = URL(endpoint)
        if virtual:
            self._bucket = str(base.with_host(f"{place.bucket}.{base.raw_host}").with_path("/"))
        else:
            self._bucket = f"{base.with_path('/')}{quoted(place.bucket)}/"
        self._prefix = quoted(place.prefix)
        self.is_virtual = virtual

    def object(self, key: str, query: Mapping[str, str] | None = None) -> URL:
        """Return the url of the object ``key``."""
        return URL(f"{self._bucket}{self._prefix}{quoted(key)}{_query(query)}", encoded=True)

    def bucket(self, query: Mapping[str, str] | None = None) -> URL:
        """Return the url of the bucket itself."""
        path = self._bucket if self.is_virtual else self._bucket.removesuffix("/")
        return URL(f"{path}{_query(query)}", encoded=True)


def may_be_virtual(bucket: str) -> bool:
    """Tell whether ``bucket`` can be the first label of a host that a certificate for ``*.host`` covers."""
    return _HOST_LABELS.fullmatch(bucket) is not None


def quoted(text: str) -> str:
    """Return ``text`` as it stands in a path: all but unreserved characters and slashes by its bytes."""
    return quote(text, safe="/~")


def _query(query: Mapping[str, str] | None) -> str:
    if not query:
        return ""
    pairs = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in query.items())
    return "?" + "&".join(f"{name}={value}" for name, value in pairs)
