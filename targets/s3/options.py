"""What an operator may choose about an S3 bucket. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from ipaddress import ip_address
from urllib.parse import urlsplit

from targets.errors import Misconfigured
from targets.http.client import CONNECTIONS_MAX

MIB = 1024 * 1024
PUT_BYTES_MAX = 5 * 1024 * MIB
PARTS_MAX = 10_000

_ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")
_CHOICES: dict[str, tuple[str, ...]] = {
    "addressing": ("auto", "path", "virtual"),
    "checksum": ("crc32c", "md5", "none"),
    "sse": _ENCRYPTIONS,
    "object_lock_mode": ("GOVERNANCE", "COMPLIANCE"),
}
_RANGES: dict[str, tuple[int, int]] = {
    "connections_max": (1, CONNECTIONS_MAX),
    "multipart_above_bytes": (5 * MIB, PUT_BYTES_MAX),
    "part_bytes": (5 * MIB, PUT_BYTES_MAX),
    "object_lock_retain_days": (1, 36_500),
}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HEADER_VALUE = re.compile(r"[!-~]{1,2048}")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """``endpoint``: where the store is; None is AWS. ``region``: None is that of the profile or environment.

    ``profile``, ``credentials_file``: which credentials of the usual chain. ``addressing``: the bucket in the
    path or in the host; ``auto`` is virtual on AWS and path elsewhere. ``conditional_put``: whether the store
    honours ``If-None-Match``; some ignore it and overwrite. ``checksum``: what the store shall verify. The
    rest is sent with each object as it is.
    """

    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    credentials_file: str | None = None
    addressing: str = "auto"
    ca_file: str | None = None
    connections_max: int = CONNECTIONS_MAX
    conditional_put: bool = True
    multipart_above_bytes: int = 64 * MIB
    part_bytes: int = 16 * MIB
    checksum: str = "crc32c"
    sse: str | None = None
    sse_kms_key_id: str | None = None
    storage_class: str | None = None
    object_lock_mode: str | None = None
    object_lock_retain_days: int | None = None

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if (text := getattr(self, name)) is not None and text not in choices:
                raise Misconfigured(f"option {name}: {text!r}, expected one of {', '.join(choices)}")
        for name, (least, most) in _RANGES.items():
            if (number := getattr(self, name)) is not None and not least <= number <= most:
                raise Misconfigured(f"option {name}: {number}, expected {least} to {most}")
        for field in fields(self):
            if getattr(self, field.name) == "":
                raise Misconfigured(f"option {field.name}: '', expected a text that is not empty, or no such option")
        self._check_headers()
        self._check_lock()
        if self.endpoint is not None:
            _check_endpoint(self.endpoint, addressing=self.addressing)

    def _check_headers(self) -> None:
        for name, pattern in (("region", _NAME), ("storage_class", _NAME), ("sse_kms_key_id", _HEADER_VALUE)):
            if (text := getattr(self, name)) is not None and not pattern.fullmatch(text):
                raise Misconfigured(f"option {name}: {text!r}, expected {pattern.pattern}")
        if self.sse_kms_key_id is not None and self.sse not in _ENCRYPTIONS[1:]:
            raise Misconfigured(f"option sse_kms_key_id: given with sse {self.sse!r}, expected sse to be aws:kms")

    def _check_lock(self) -> None:
        if (self.object_lock_mode is None) != (self.object_lock_retain_days is None):
            raise Misconfigured("option object_lock_mode: expected together with object_lock_retain_days, or neither")
        if self.object_lock_mode is not None and self.checksum == "none":
            raise Misconfigured("option checksum: 'none', expected crc32c or md5: a locked object must have one")


def _check_endpoint(endpoint: str, *, addressing: str) -> None:
    expected = "expected http:// or https:// and a host, perhaps a port, and nothing behind it"
    try:
        parts = urlsplit(endpoint)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        raise Misconfigured(f"option endpoint: it cannot be parsed, {expected}") from None
    if "@" in parts.netloc:
        raise Misconfigured(f"option endpoint: there is a user or password in it, {expected}")
    if parts.scheme not in ("http", "https") or not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise Misconfigured(f"option endpoint: {endpoint!r}, {expected}")
    if addressing == "virtual" and _is_address(host):
        raise Misconfigured(f"option addressing: 'virtual', expected path: {host} is an address, not a name")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
