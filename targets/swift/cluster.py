"""What a cluster tells about itself to everybody (``/info``). Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

# Swift's own default, and what holds where nothing is told. Larger objects would need segments; packs do not.
OBJECT_SIZE_BYTES_MAX = 5 * 1024**3
_LISTING_COUNT_MAX = 1000  # A page of these is parsed in 2 ms; the loop must not wait longer.
_DELETES_MAX = 1000  # Swift takes more, but aborts after so many failures, and a request must end in time.
_VERSION = re.compile(r"/v1(\.0)?(/|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """``deletes_max``: objects deleted by one request, 0 if there is no such request."""

    object_size_bytes_max: int = OBJECT_SIZE_BYTES_MAX
    listing_count_max: int = _LISTING_COUNT_MAX
    deletes_max: int = 0

    @classmethod
    def of(cls, text: bytes) -> Cluster:
        """Return what an answer says; what it lacks or garbles is as if it were not told."""
        try:
            told = json.loads(text)
        except ValueError:
            told = {}
        deletes = _number(told, "bulk_delete", "max_deletes_per_request")
        return cls(
            object_size_bytes_max=_number(told, "swift", "max_file_size") or OBJECT_SIZE_BYTES_MAX,
            listing_count_max=min(
                _number(told, "swift", "container_listing_limit") or _LISTING_COUNT_MAX, _LISTING_COUNT_MAX
            ),
            deletes_max=min(deletes, _DELETES_MAX),
        )


def info_url(storage_url: str) -> str:
    """Return where the cluster of an account tells about itself: beside ``/v1`` (radosgw: ``/swift/info``)."""
    scheme, _, rest = storage_url.partition("://")
    host, slash, path = rest.partition("/")
    before = _VERSION.split(f"{slash}{path}", maxsplit=1)[0]
    return f"{scheme}://{host}{before}/info"


def _number(told: Any, section: str, name: str) -> int:
    found = told.get(section) if isinstance(told, dict) else None
    number = found.get(name) if isinstance(found, dict) else None
    return number if isinstance(number, int) and number > 0 else 0
