"""What the fields of a backup type may be, wherever they come from: file, API or catalog. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CHUNK_SIZE_BYTES_MIN = 64 * 1024
CHUNK_SIZE_BYTES_MAX = 4 * 1024**2
COMPRESSION_LEVEL_MAX = 19
BYTES_MAX = 2**50


@dataclass(frozen=True, slots=True)
class TypeProblem:
    """One field that is wrong; ``expected`` completes "expected ..." for people."""

    field: str
    value: Any
    expected: str


def type_problems(
    fields: Mapping[str, Any], *, targets: Collection[str], retentions: Collection[str]
) -> list[TypeProblem]:
    """Return what is wrong with the ``fields`` that are there, each of the right kind, in a fixed order.

    ``targets`` and ``retentions`` are the names that the configuration has.
    """
    return [
        *_targets(fields, targets),
        *_quorum(fields),
        *_chunk_size(fields),
        *_range(fields, "compression_level", COMPRESSION_LEVEL_MAX),
        *_range(fields, "bytes_per_s", BYTES_MAX),
        *_range(fields, "verify_bytes", BYTES_MAX),
        *_retention(fields, retentions),
    ]


def _targets(fields: Mapping[str, Any], known: Collection[str]) -> Iterator[TypeProblem]:
    expected = f"a target of the configuration: {_names(known)}"
    seen = set()
    if "target" in fields:
        seen.add(fields["target"])
        if fields["target"] not in known:
            yield TypeProblem("target", fields["target"], expected)
    for position, copy in enumerate(fields.get("copies", ())):
        if copy in seen:
            yield TypeProblem(f"copies[{position}]", copy, "each target once")
        elif copy not in known:
            yield TypeProblem(f"copies[{position}]", copy, expected)
        seen.add(copy)


def _quorum(fields: Mapping[str, Any]) -> Iterator[TypeProblem]:
    if not {"target", "copies", "quorum"} <= fields.keys():
        return
    most = 1 + len(fields["copies"])
    if not 1 <= fields["quorum"] <= most:
        expected = f"an integer from 1 to {most}, the number of targets"
        yield TypeProblem("quorum", fields["quorum"], expected)


def _chunk_size(fields: Mapping[str, Any]) -> Iterator[TypeProblem]:
    if "chunk_size_bytes" not in fields:
        return
    size_bytes = fields["chunk_size_bytes"]
    is_power_of_two = size_bytes > 0 and size_bytes & (size_bytes - 1) == 0
    if not is_power_of_two or not CHUNK_SIZE_BYTES_MIN <= size_bytes <= CHUNK_SIZE_BYTES_MAX:
        expected = f"a power of two from {CHUNK_SIZE_BYTES_MIN} (64 KiB) to {CHUNK_SIZE_BYTES_MAX} (4 MiB)"
        yield TypeProblem("chunk_size_bytes", size_bytes, expected)


def _range(fields: Mapping[str, Any], name: str, most: int) -> Iterator[TypeProblem]:
    if name in fields and not 0 <= fields[name] <= most:
        yield TypeProblem(name, fields[name], f"an integer from 0 to {most}")


def _retention(fields: Mapping[str, Any], known: Collection[str]) -> Iterator[TypeProblem]:
    name = fields.get("retention")
    if name is not None and name not in known:
        yield TypeProblem("retention", name, f"a retention of the configuration: {_names(known)}")


def _names(known: Collection[str]) -> str:
    return ", ".join(sorted(known)) or "none"
