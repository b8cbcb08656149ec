"""Documents as people read them: tables and lists; or as the API sent them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO


@dataclass(frozen=True, slots=True)
class Output:
    """Where documents go; ``as_json`` prints them as the API sent them."""

    stream: TextIO
    as_json: bool

    def rows(self, documents: list[dict[str, Any]], columns: Sequence[str]) -> None:
        """Print a list of documents, for people only the ``columns``."""
        if self.as_json:
            self._json(documents)
        else:
            self.stream.write(table(documents, columns))

    def one(self, document: dict[str, Any]) -> None:
        """Print one document."""
        if self.as_json:
            self._json(document)
        else:
            self.stream.write(listing(document))

    def done(self, message: str) -> None:
        """Tell people that something was done which the API answers with nothing."""
        if not self.as_json:
            self.stream.write(f"{message}\n")

    def _json(self, document: Any) -> None:
        self.stream.write(json.dumps(document, indent=2) + "\n")


def table(documents: list[dict[str, Any]], columns: Sequence[str]) -> str:
    """Return one line per document below a line of headings."""
    headings = [column.upper().replace("_", " ") for column in columns]
    cells = [
        headings,
        *([text(column, document.get(column)) for column in columns] for document in documents),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def listing(document: dict[str, Any]) -> str:
    """Return one line per field; fields of inner objects have dotted names."""
    fields = list(_flat(document))
    width = max((len(name) for name, _ in fields), default=0)
    return "".join(f"{name.ljust(width)}  {value}".rstrip() + "\n" for name, value in fields)


def _flat(document: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    fields = []
    for name, value in document.items():
        if isinstance(value, dict):
            fields += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, item in enumerate(value, start=1):
                fields += _flat(item, f"{prefix}{name}.{number}.")
        else:
            fields.append((f"{prefix}{name}", text(name, value)))
    return fields


def text(name: str, value: Any) -> str:
    """Return a value as people read it; the unit at the end of its ``name`` decides the form of a number."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(text(name, item) for item in value) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_bytes") and isinstance(value, int):
        return size(value)
    # A path may hold anything, an escape sequence for the terminal too.
    return "".join(character if character.isprintable() else "?" for character in str(value))


def size(size_bytes: float) -> str:
    """Return a size in the largest binary unit that leaves at least one before the point."""
    if size_bytes < 1024:
        return f"{size_bytes:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size_bytes /= 1024
        if size_bytes < 1024:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1024:.1f} PiB"
