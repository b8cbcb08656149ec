"""The extents that a caller says have changed, as JSON, checked."""

from __future__ import annotations

from typing import Any

from backupd.application.fields import invalid

# A hundred thousand are 5 MB of JSON: more would hold the interpreter, and memory, for too long.
EXTENTS_MAX = 100_000
_KEYS = {"offset_bytes", "length_bytes"}
_END_BYTES_MAX = 2**63 - 1


def parse_changed_extents(value: list[Any]) -> list[list[int]]:
    """Return ``[[offset, length], ...]``. Raises InvalidRequest that names the first wrong entry."""
    if len(value) > EXTENTS_MAX:
        raise invalid("changed_extents", value, f"at most {EXTENTS_MAX}: join neighbours")
    return [_parse_extent(f"changed_extents[{index}]", item) for index, item in enumerate(value)]


def _parse_extent(field: str, item: Any) -> list[int]:
    if not isinstance(item, dict) or item.keys() != _KEYS:
        raise invalid(field, item, 'an object with "offset_bytes" and "length_bytes" and nothing else')
    offset, length = item["offset_bytes"], item["length_bytes"]
    # A bool is an int to Python, never to the caller.
    if type(offset) is not int or not 0 <= offset <= _END_BYTES_MAX:
        raise invalid(f"{field}.offset_bytes", offset, "an integer of 0 or more")
    if type(length) is not int or not 0 < length <= _END_BYTES_MAX - offset:
        raise invalid(f"{field}.length_bytes", length, "an integer of 1 or more that ends below 2^63")
    return [offset, length]
