"""What the operator says about a bucket. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from yarl import URL

from targets.errors import InvalidKey, Misconfigured
from targets.http.client import CONNECTIONS_MAX
from targets.keys import KEY_LENGTH_MAX, validate_key

SERVICE = "https://storage.googleapis.com"

_STORAGE_CLASSES = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_KMS_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
_PROJECT = re.compile(r"[a-z0-9.:-]{1,100}")
_LOCATION = re.compile(r"[A-Za-z0-9-]{1,50}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GcsOptions:
    """``credentials_file``: the key of a service account; without it the application default credentials.

    ``create_bucket``: make it at the first operation if it is missing, in ``project`` and ``location``.
    ``user_project``: who pays for requests. ``conditional_put``: false for a server that is known to ignore
    preconditions. ``connections_max``: kept and used at a time.
    """

    endpoint: str = SERVICE
    credentials_file: str | None = None
    anonymous: bool = False
    create_bucket: bool = False
    project: str | None = None
    location: str | None = None
    user_project: str | None = None
    storage_class: str | None = None
    kms_key_name: str | None = None
    conditional_put: bool = True
    connections_max: int = CONNECTIONS_MAX
    ca_file: str | None = None

    def __post_init__(self) -> None:
        self._check_endpoint()
        if self.anonymous and self.credentials_file is not None:
            raise Misconfigured("option credentials_file: given, expected none for an anonymous target")
        if self.create_bucket and not (self.project and self.location):
            raise Misconfigured("option create_bucket: true, expected the options project and location with it")
        if self.storage_class not in (None, *_STORAGE_CLASSES):
            expected = ", ".join(_STORAGE_CLASSES)
            raise Misconfigured(f"option storage_class: {self.storage_class!r}, expected one of {expected}")
        if not 1 <= self.connections_max <= CONNECTIONS_MAX:
            raise Misconfigured(f"option connections_max: {self.connections_max}, expected 1 to {CONNECTIONS_MAX}")
        _check("kms_key_name", self.kms_key_name, _KMS_KEY, "projects/P/locations/L/keyRings/R/cryptoKeys/K")
        _check("project", self.project, _PROJECT, "the id of a project")
        _check("user_project", self.user_project, _PROJECT, "the id of a project")
        _check("location", self.location, _LOCATION, "a location such as EUROPE-WEST1")

    def _check_endpoint(self) -> None:
        try:
            url = URL(self.endpoint)
        except ValueError:
            raise Misconfigured("option endpoint: it cannot be parsed as a url") from None
        if url.user is not None or url.password is not None:
            raise Misconfigured("option endpoint: expected no user and no password in it")
        is_bare = url.raw_path in ("", "/") and not url.raw_query_string and not url.raw_fragment
        if url.scheme not in ("http", "https") or not url.host or not is_bare:
            raise Misconfigured(f"option endpoint: {self.endpoint!r}, expected such as https://storage.example.net")
        if url.scheme == "http" and not self.anonymous and not _is_loopback(url.host):
            raise Misconfigured(f"option endpoint: {self.endpoint!r}, expected https, or tokens would be sent in clear")


def check_bucket(bucket: str) -> None:
    """Raise Misconfigured unless this can be the name of a bucket."""
    if not _BUCKET.fullmatch(bucket):
        expected = "3 to 222 characters of a-z 0-9 . _ -, a letter or digit first and last"
        raise Misconfigured(f"target url: bucket {bucket!r}, expected {expected}")


def check_prefix(prefix: str) -> None:
    """Raise Misconfigured unless what stands before each key is empty, or a key and a slash."""
    try:
        if prefix:
            validate_key(prefix.removesuffix("/"))
    except InvalidKey:
        expected = f"up to {KEY_LENGTH_MAX} characters: names of a-z 0-9 . _ - between slashes, none hidden"
        raise Misconfigured(f"target url: prefix {prefix!r}, expected {expected}") from None


def _check(name: str, value: str | None, pattern: re.Pattern[str], expected: str) -> None:
    if value is not None and not pattern.fullmatch(value):
        raise Misconfigured(f"option {name}: {value!r}, expected {expected}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
